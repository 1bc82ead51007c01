"""Audit messages by the standard's own schema and codes, and that every row arrives outside, in order, whatever was away in between."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.certificates import Certificates, make_certificates
from harness.ledger import at_once, delivering, image
from harness.node import wait_until
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pydicom.sr._concepts_dict import concepts

from dosremc_node.ledger import Ledger, audit, open_ledger
from dosremc_node.ledger.audit import AuditEntry
from dosremc_node.ledger.deliveries import due_deliveries, keep_results
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.refusals import Refusal, Refused, keep_refusals
from dosremc_node.ledger.releases import put_in_force
from dosremc_node.ledger.tables import DocumentRow
from dosremc_node.monitoring.audit_messages import Source, audit_message, syslog_message
from dosremc_node.monitoring.audit_sinks import AnchorSink, FileSink, Sink, SyslogSink, read_anchors
from dosremc_node.monitoring.auditor import Auditor
from dosremc_node.records import DeliveryOutcome, DeliveryResult
from dosremc_node.settings import AuditSyslog, DestinationTls

SOURCE = Source("node", "DOSREMC", "host.example")
SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit_message.rng")))
PARSER = etree.XMLParser(resolve_entities=False)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in which everything happened that is audited."""
    opened = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    put_in_force(opened, "r1", "physicist")
    record_object(opened, *image(7, "1.2.9"), at_once)
    delivering(opened)
    now = datetime.now(UTC)
    with opened.reading() as session:
        uids = [row.sop_instance_uid for row in session.query(DocumentRow)]
    (due,) = due_deliveries(opened, now)
    answers = [DeliveryResult(uids[0], DeliveryOutcome.DELIVERED, 0, ""), DeliveryResult(uids[1], DeliveryOutcome.REFUSED, 0xA900, "")]
    keep_results(opened, due, answers, lambda _: None, now)
    keep_refusals(opened, {Refusal(Refused.ASSOCIATION, "INTRUDER", "10.0.0.9", "not among the peers"): 3}, now)
    yield opened
    opened.close()


def audited(ledger: Ledger, *sinks: Sink) -> None:
    """Everything told and handed on, as by a node that starts and stops."""
    auditor = Auditor(ledger, sinks, SOURCE)
    auditor.start("administrator")
    auditor.stop("administrator")


def parsed(message: bytes) -> etree._Element:
    """The message, which must be valid."""
    root = etree.fromstring(message, PARSER)
    assert SCHEMA.validate(root), SCHEMA.error_log
    return root


def test_every_kind_of_event_makes_a_message_that_the_standard_knows(ledger: Ledger) -> None:
    """Valid by the schema of PS3.15 A.5.1, and every code of DICOM's has the meaning that PS3.16 gives it."""
    audited(ledger)
    audit.record(ledger, "administrator", "read audit trail", "after 0", {})
    meanings = {code: meaning for each in concepts["DCM"].values() for code, (meaning, _) in each.items()}
    events = set()
    for entry in audit.entries(ledger):
        root = parsed(audit_message(entry, SOURCE))
        events.add(root.find("EventIdentification/EventID").get("csd-code"))
        for coded in root.iter():
            if coded.get("codeSystemName") == "DCM":
                assert meanings[coded.get("csd-code")] == coded.get("originalText")
    assert events == {"110100", "110101", "110103", "110104", "110113"}


def test_a_transfer_says_who_sent_what_of_whom_and_no_name(ledger: Ledger) -> None:
    """Sender with its address, receiver, study with its objects, patient ID: what A.5.3.7 asks for, and nothing else of the patient."""
    audited(ledger)
    entry = next(each for each in audit.entries(ledger) if each.action == "receive instances")
    root = parsed(audit_message(entry, SOURCE))
    received = image(7, "1.2.9")[0]
    sender, receiver = root.findall("ActiveParticipant")
    assert (sender.get("UserID"), sender.get("NetworkAccessPointID")) == (received.calling_ae_title, received.peer_address)
    assert receiver.get("UserID") == "DOSREMC"
    study, patient = root.findall("ParticipantObjectIdentification")
    assert study.get("ParticipantObjectID") == entry.detail["study_instance_uid"]
    assert study.find("ParticipantObjectDescription/SOPClass").get("NumberOfInstances") == "1"
    assert patient.get("ParticipantObjectID") == entry.detail["patient_id"]
    assert not patient.find("ParticipantObjectName").text


def test_what_a_destination_did_not_take_shows_in_the_outcome(ledger: Ledger) -> None:
    """One of two documents refused is no success."""
    entry = next(each for each in audit.entries(ledger) if each.action == "send documents")
    event = parsed(audit_message(entry, SOURCE)).find("EventIdentification")
    assert (event.get("EventOutcomeIndicator"), event.find("EventOutcomeDescription").text) == ("4", "1 not taken")


@given(st.text(), st.text())
def test_whatever_a_peer_calls_itself_or_a_patient_the_message_is_xml_of_one_line(ae_title: str, patient_id: str) -> None:
    """Names come from outside: control characters, quotes, tags and lone surrogates must not break or forge a message."""
    detail = {
        "study_instance_uid": "1.2",
        "patient_id": patient_id,
        "sop_classes": {},
        "calling_ae_title": ae_title,
        "peer_address": "10.0.0.1",
    }
    entry = AuditEntry(1, datetime.now(UTC), "node", "receive instances", "S-X", detail, "0" * 64)
    message = audit_message(entry, SOURCE)
    assert len(parsed(message).findall("ActiveParticipant")) == 2
    assert b"\n" not in message


def test_files_get_every_row_and_an_anchor_that_verifies(ledger: Ledger, tmp_path: Path) -> None:
    """One message a line, rotated in between; the anchors hold the trail, and show that its end is gone."""
    trail, anchors = tmp_path / "audit.xml", tmp_path / "anchors"
    audited(ledger, FileSink(trail), AnchorSink(anchors))
    shutil.move(trail, tmp_path / "audit.xml.1")
    audited(ledger, FileSink(trail), AnchorSink(anchors))
    lines = [line for path in (tmp_path / "audit.xml.1", trail) for line in path.read_bytes().splitlines()]
    assert len(lines) == len([parsed(line) for line in lines]) == audit.last_sequence(ledger)
    assert audit.faults(ledger, read_anchors(anchors)) == []
    assert read_anchors(anchors)[-1].sequence == audit.last_sequence(ledger)
    last = audit.entries(ledger)[-1]
    (tmp_path / "beyond").write_text(f'{{"audit_anchor": {last.sequence + 1}, "sha256": "{last.sha256}", "at": "{last.at.isoformat()}"}}\n')
    assert audit.faults(ledger, read_anchors(tmp_path / "beyond"))


# --- Syslog over TLS --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def tls_server(certificates: Certificates, port: int, received: list[bytes]) -> Iterator[None]:
    """Takes connections and keeps what each sent, until it says goodbye."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    listener = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with closing(context.wrap_socket(plain, server_side=True)) as connection:
                received.append(b"".join(iter(lambda: connection.recv(65536), b"")))
                connection.unwrap()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def frames(stream: bytes) -> list[bytes]:
    """The messages of an octet-counted stream (RFC 5425 4.3)."""
    found = []
    while stream:
        count, _, rest = stream.partition(b" ")
        found.append(rest[: int(count)])
        stream = rest[int(count) :]
    return found


def syslog(certificates: Certificates, port: int) -> SyslogSink:
    return SyslogSink(AuditSyslog(host="127.0.0.1", port=port, tls=DestinationTls(ca_file=certificates.authority)))


def test_syslog_gets_every_row_once_it_is_there(ledger: Ledger, certificates: Certificates, free_port: int) -> None:
    """While the server is away the trail waits; then it gets all of it, counted in octets, in the form of RFC 5424."""
    audited(ledger, syslog(certificates, free_port))
    received: list[bytes] = []
    with tls_server(certificates, free_port, received):
        audited(ledger, syslog(certificates, free_port))
    messages = frames(b"".join(received))
    form = re.compile(rb"<(8[45])>1 (\S+) host\.example dosremc-node \d+ (DICOM\+RFC3881|AUDIT-ANCHOR) - \xef\xbb\xbf(.*)")
    fields = [form.fullmatch(each).groups() for each in messages]  # type: ignore[union-attr]
    documents = [parsed(body) for _, _, kind, body in fields if kind == b"DICOM+RFC3881"]
    assert len(documents) == audit.last_sequence(ledger)
    assert [priority for priority, *_, body in fields if b"Node Authentication" in body] == [b"84"]
    assert fields[-1][2] == b"AUDIT-ANCHOR"


def test_a_syslog_server_that_is_not_the_one_gets_nothing(
    ledger: Ledger, tmp_path: Path, certificates: Certificates, free_port: int
) -> None:
    """A certificate of another authority: no patient ID leaves the house, and the rows still wait."""
    received: list[bytes] = []
    (tmp_path / "others").mkdir()
    stranger = make_certificates(tmp_path / "others")
    sink = SyslogSink(AuditSyslog(host="127.0.0.1", port=free_port, tls=DestinationTls(ca_file=stranger.authority)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    with closing(socket.create_server(("127.0.0.1", free_port))) as listener:

        def refuse() -> None:
            plain, _ = listener.accept()
            with closing(plain), pytest.raises(ssl.SSLError):
                received.append(context.wrap_socket(plain, server_side=True).recv(1))

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(ssl.SSLCertVerificationError):
            sink.put(audit.entries(ledger), SOURCE)
        thread.join()
    assert received == []


def test_rsyslog_keeps_what_the_node_sends(ledger: Ledger, tmp_path: Path, certificates: Certificates, free_port: int) -> None:
    """A server that nobody here wrote; what it wrote is itself a file of anchors."""
    program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")
    if program is None or not list(Path("/usr/lib").glob("*/rsyslog/lmnsd_gtls.so")):
        pytest.skip("rsyslog with TLS is not installed (Debian packages rsyslog, rsyslog-gnutls)")
    configuration, kept = tmp_path / "rsyslog.conf", tmp_path / "kept"
    configuration.write_text(
        f"""global(DefaultNetstreamDriver="gtls" DefaultNetstreamDriverCAFile="{certificates.authority}"
  DefaultNetstreamDriverCertFile="{certificates.certificate("server")}" DefaultNetstreamDriverKeyFile="{certificates.key("server")}"
  workDirectory="{tmp_path}" maxMessageSize="64k")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
template(name="raw" type="string" string="%rawmsg%\\n")
input(type="imtcp" port="{free_port}" address="127.0.0.1" ruleset="audit")
ruleset(name="audit") {{ action(type="omfile" file="{kept}" template="raw") }}
"""
    )
    process = subprocess.Popen([program, "-n", "-f", str(configuration), "-i", str(tmp_path / "pid")], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(free_port), "rsyslog listens")
        audited(ledger, syslog(certificates, free_port))
        wait_until(
            lambda: kept.exists() and read_anchors(kept)[-1:] and read_anchors(kept)[-1].sequence == audit.last_sequence(ledger),
            "all is kept",
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    assert kept.read_bytes().count(b"<AuditMessage>") == audit.last_sequence(ledger)
    assert audit.faults(ledger, read_anchors(kept)) == []


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.alone
def test_receiving_is_not_slowed_down_by_the_trail(ledger: Ledger) -> None:
    """Three hundred arrivals are told of in a few rows: not one lock for each image."""
    for number in range(100, 400):
        record_object(ledger, *image(number, f"1.2.{number // 100}"), at_once)
    before, began = audit.last_sequence(ledger), time.monotonic()
    audited(ledger)
    assert audit.last_sequence(ledger) - before < 12
    assert time.monotonic() - began < 5


def test_an_anchor_says_nothing_of_a_patient(ledger: Ledger) -> None:
    """Number, hash and time of a row: fit for any place."""
    (entry, *_) = audit.entries(ledger)
    assert re.fullmatch(rb'.*\{"audit_anchor": 1, "sha256": "[0-9a-f]{64}", "at": "[^"]+"\}', syslog_message(entry, SOURCE, anchor=True))
