"""Asking a PACS what it has, and fetching it."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
from harness.certificates import Certificates, make_certificates
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from dosremc_node.errors import PeerRefused, PeerUnreachable
from dosremc_node.reception import find_studies, move_study
from dosremc_node.reception.retrieve import STUDY_ROOT_FIND, STUDY_ROOT_MOVE
from dosremc_node.settings import Destination, DestinationTls
from dosremc_node.simulation.pacs import Orthanc


def as_peer(pacs: Orthanc, **changes: object) -> Destination:
    values = {"name": "pacs", "ae_title": pacs.ae_title, "host": pacs.host, "port": pacs.port, "timeout_seconds": 10}
    return Destination(**{**values, **changes})


@pytest.fixture
def filled(orthanc: Orthanc, dcmtk: Callable[[str], str], mammogram_file: Callable[..., Path]) -> Orthanc:
    """An Orthanc with a mammography study of two images and another study."""
    files = [
        mammogram_file("1.dcm", StudyInstanceUID="1.2.3", PatientID="P1", AccessionNumber="A1"),
        mammogram_file("2.dcm", StudyInstanceUID="1.2.3", PatientID="P1", AccessionNumber="A1"),
        mammogram_file("3.dcm", StudyInstanceUID="1.2.4", PatientID="P1", AccessionNumber="A2", Modality="CT"),
    ]
    subprocess.run([dcmtk("dcmsend"), "-aec", orthanc.ae_title, orthanc.host, str(orthanc.port), *files], check=True)
    return orthanc


def test_mammography_studies_are_found(filled: Orthanc) -> None:
    """Only mammography comes back, whichever key asks for it, and nothing where nothing matches."""
    peer = as_peer(filled)
    for keys in ({"patient_id": "P1"}, {"accession_number": "A1"}, {"study_instance_uid": "1.2.3"}, {"study_date": date(2026, 1, 2)}):
        (study,) = find_studies(peer, "MODALITY", **keys)
        assert (study.study_instance_uid, study.patient_id, study.accession_number) == ("1.2.3", "P1", "A1")
        assert (study.study_date, study.modalities, study.images) == (date(2026, 1, 2), ("MG",), 2)
    assert find_studies(peer, "MODALITY", accession_number="A2") == []
    assert find_studies(peer, "MODALITY", patient_id="NOBODY") == []


def test_a_study_comes_to_our_own_door(filled: Orthanc, listen: Callable) -> None:
    """The PACS moves the study to our receiver, and says how far it is."""
    node = listen()
    filled.knows("DOSREMC", node.port)
    progress = list(move_study(as_peer(filled), "MODALITY", "DOSREMC", "1.2.3"))
    assert (progress[-1].completed, progress[-1].failed) == (2, 0)
    assert len(node.received) == 2
    assert {received.calling_ae_title for received in node.received} == {filled.ae_title}


def test_what_identifies_a_patient_is_not_in_the_representation(filled: Orthanc) -> None:
    """A found study that is printed by accident names neither the woman nor her study."""
    (study,) = find_studies(as_peer(filled), "MODALITY", patient_id="P1")
    assert not any(value in repr(study) for value in ("P1", "A1", "1.2.3"))


def test_a_destination_that_the_pacs_does_not_know_is_a_refusal(filled: Orthanc) -> None:
    """C-MOVE to an AE title without an address raises, and names no study."""
    with pytest.raises(PeerRefused, match=r"C-MOVE|NOWHERE") as refusal:
        list(move_study(as_peer(filled), "MODALITY", "NOWHERE", "1.2.3"))
    assert "1.2.3" not in str(refusal.value)


def test_a_caller_may_stop_half_way(filled: Orthanc, listen: Callable) -> None:
    """Whoever no longer wants to know how far the PACS is does not hang."""
    node = listen()
    filled.knows("DOSREMC", node.port)
    progress = move_study(as_peer(filled), "MODALITY", "DOSREMC", "1.2.3")
    next(progress)
    progress.close()


def test_a_pacs_that_is_not_there_is_unreachable(free_port: int) -> None:
    """Nobody listening raises PeerUnreachable with name, address and AE title."""
    peer = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=free_port, timeout_seconds=2)
    with pytest.raises(PeerUnreachable, match=f"pacs .127.0.0.1:{free_port}, AE title PACS"):
        find_studies(peer, "MODALITY", patient_id="P1")


def test_a_peer_that_lets_us_not_in_or_cannot_be_asked_refuses(listen: Callable) -> None:
    """A rejected association, and one without query and retrieve, raise PeerRefused with the reason."""
    node = listen()
    peer = Destination(name="pacs", ae_title="DOSREMC", host="127.0.0.1", port=node.port, timeout_seconds=5)
    with pytest.raises(PeerRefused, match="query"):
        find_studies(peer, "MODALITY", patient_id="P1")
    with pytest.raises(PeerRefused, match=r"(?i)called AE title"):
        find_studies(peer.model_copy(update={"ae_title": "SOMEBODY"}), "MODALITY", patient_id="P1")


def answer_query(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
    """One mammography study."""
    answer = Dataset()
    answer.QueryRetrieveLevel, answer.StudyInstanceUID, answer.ModalitiesInStudy = "STUDY", "1.2.3", "MG"
    yield 0xFF00, answer


def answer_move(event: evt.Event) -> Iterator[object]:
    """Nothing to send, which is a success."""
    yield "127.0.0.1", event.assoc.requestor.port
    yield 0


@contextmanager
def pacs_over_tls(certificates: Certificates) -> Iterator[int]:
    """A PACS that speaks nothing but TLS, to those with a certificate of its authority; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    context.load_verify_locations(certificates.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    entity = AE("PACS")
    for abstract_syntax in (STUDY_ROOT_FIND, STUDY_ROOT_MOVE):
        entity.add_supported_context(abstract_syntax)
    handlers = [(evt.EVT_C_FIND, answer_query), (evt.EVT_C_MOVE, answer_move)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=context)
    yield server.socket.getsockname()[1]
    server.shutdown()


def test_a_pacs_is_asked_over_tls_where_the_settings_say_so(tmp_path: Path) -> None:
    """C-FIND and C-MOVE go through TLS with our certificate; a PACS of another authority is asked nothing, and the words say why."""
    made = make_certificates(tmp_path)
    own = {"certificate_file": made.certificate("client"), "key_file": made.key("client")}
    with pacs_over_tls(made) as port:
        peer = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=port, tls=DestinationTls(ca_file=made.authority, **own))
        assert [study.study_instance_uid for study in find_studies(peer, "NODE", patient_id="P1")] == ["1.2.3"]
        assert list(move_study(peer, "NODE", "NODE", "1.2.3"))[-1].failed == 0
        stranger = peer.model_copy(update={"tls": DestinationTls(ca_file=made.certificate("stranger"), **own)})
        with pytest.raises(PeerUnreachable, match="not trusted"):
            find_studies(stranger, "NODE", patient_id="P1")
