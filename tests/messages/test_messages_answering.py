"""What a message does and how it is acknowledged, without a network."""

from __future__ import annotations

import pytest
from harness.messages import fields, merge, message, update
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from dosremc_node.errors import MessageRefused
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.audit import first_broken_link
from dosremc_node.ledger.demographics import ChangeKind, identities_of, list_changes
from dosremc_node.ledger.messages import MessageState, message_counts
from dosremc_node.messages import Answering, Message
from dosremc_node.records import PatientIdentifier
from dosremc_node.settings import MessageSettings

PEER = "127.0.0.1"


@pytest.fixture
def answering(ledger: Ledger) -> Answering:
    return Answering(ledger, MessageSettings())


def answer(answering: Answering, content: bytes) -> bytes:
    (only,) = answering.answer(content, PEER)
    return only


def names(ledger: Ledger) -> list[str]:
    return [change.name for change in list_changes(ledger)]


def test_an_update_is_accepted_and_known(ledger: Ledger, answering: Answering) -> None:
    """A08 is answered AA under its control ID, by us to the sender, and what it says is in the ledger under each identifier."""
    got = answer(answering, update("P1^^^HOSPITAL&1.2.3&ISO^MR~99^^^&1.2.4&ISO", "Müller^Änne^M^^Dr^^L", control_id="ID7"))
    assert fields(got) == ["MSA", "AA", "ID7"]
    header = fields(got, "MSH")
    assert (header[1], header[2:6], header[8], header[10:12]) == (
        "^~\\&",
        ["DOSREMC", "RADIOLOGY", "RIS", "HOSPITAL"],
        "ACK^A08^ACK",
        ["P", "2.5.1"],
    )
    changes = list_changes(ledger)
    assert [(each.patient.patient_id, each.patient.issuer) for each in changes] == [("P1", "HOSPITAL"), ("99", "1.2.4")]
    assert {(each.name, each.birth_date, each.sex, each.sender) for each in changes} == {
        ("Müller^Änne^M^Dr", "19600102", "F", "RIS at HOSPITAL")
    }
    assert first_broken_link(ledger) is None


@pytest.mark.parametrize("kind", ["ADT^A40^ADT_A39", "ADT^A40", "ADT^A34", "ADT^A18"])
def test_a_merge_makes_two_identifiers_one_womans(ledger: Ledger, answering: Answering, kind: str) -> None:
    """Every event that merges patients is answered AA and leads from either identifier to the other."""
    assert fields(answer(answering, merge(type=kind)))[1] == "AA"
    one, other = PatientIdentifier("P1", "HOSPITAL"), PatientIdentifier("P2", "HOSPITAL")
    assert {one, other} <= identities_of(ledger, one) & identities_of(ledger, other)


def test_one_message_may_merge_several_pairs(ledger: Ledger, answering: Answering) -> None:
    """Each MRG goes with the PID before it, and each identifier into the survivor's of the same issuer."""
    segments = ["EVN|A40", "PID|1||A2^^^A~B2^^^B", "MRG|A1^^^A~B1^^^B", "PID|2||C2^^^C", "MRG|C1^^^C"]
    assert fields(answer(answering, message("ADT^A40^ADT_A39", *segments)))[1] == "AA"
    pairs = [(each.prior.patient_id, each.patient.patient_id) for each in list_changes(ledger) if each.prior]
    assert pairs == [("A1", "A2"), ("B1", "B2"), ("C1", "C2")]
    assert {each.kind for each in list_changes(ledger)} == {ChangeKind.MERGE}


def test_the_same_bytes_again_are_accepted_and_not_applied_again(ledger: Ledger, answering: Answering) -> None:
    """A resent update must not undo a later one; a control ID that is used again for another message is no duplicate."""
    first, second = update(name="DOE^JANE", control_id="1"), update(name="ROE^JANE", control_id="1")
    assert [fields(answer(answering, each))[1] for each in (first, second, first)] == ["AA"] * 3
    assert names(ledger) == ["DOE^JANE", "ROE^JANE"]
    with ledger.reading() as session:
        assert session.execute(text("SELECT times FROM message ORDER BY id")).scalars().all() == [2, 1]


def test_a_message_that_was_refused_is_judged_anew(ledger: Ledger) -> None:
    """Once the node is set to take it, the sender's next try is applied."""
    training = update().replace(b"|P|2.5.1", b"|T|2.5.1")
    assert fields(answer(Answering(ledger, MessageSettings()), training))[1] == "AR"
    assert names(ledger) == []
    assert fields(answer(Answering(ledger, MessageSettings(processing_id="T")), training))[1] == "AA"
    assert names(ledger) == ["DOE^JANE"]


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (message("ADT^A08", "EVN|A08"), ("AE", "100", "PID")),
        (message("ADT^A08", "PID|1||||DOE^JANE"), ("AE", "101", "PID^1^3")),
        (message("ADT^A40", "PID|1||P2", "MRG|"), ("AE", "101", "MRG^1^1")),
        (message("ADT^A40", "MRG|P1", "PID|1||P2"), ("AE", "100", "MRG")),
        (message("ADT^A40", "PID|1||P2"), ("AE", "100", "MRG")),
        (message("ADT^A40", "PID|1||P2", "MRG|P2"), ("AE", "204", "MRG^1^1")),
        (message("", "PID|1||P1"), ("AE", "101", "MSH^1^9")),
        (message(control_id=""), ("AE", "101", "MSH^1^10")),
        (message(version="3"), ("AR", "203", "MSH^1^12")),
        (update().replace(b"|P|2.5.1", b"|D|2.5.1"), ("AR", "202", "MSH^1^11")),
        (message("ADT^A01", "PID|1||P1"), ("AR", "201", "MSH^1^9^1^2")),
        (message("SIU^S12", "PID|1||P1"), ("AR", "200", "MSH^1^9^1^1")),
        (update(more="||||||KLINGON"), ("AE", "103", "MSH^1^18")),
        (update(name="Müller", more="||||||UNICODE UTF-8", encoding="iso8859_1"), ("AE", "102", "MSH^1^18")),
        (update() + update(), ("AE", "100", "MSH")),
        (b"BHS|^~\\&|RIS|HOSPITAL|||20260301||||B1\r" + update() + b"BTS|1\r", ("AR", "200", "BHS")),
        (b"FHS|^~\\&|RIS|HOSPITAL|||20260301||||B1\r" + update(), ("AR", "200", "FHS")),
        (b"GET / HTTP/1.1\r\n\r\n", ("AR", "100", "MSH")),
        (b"", ("AR", "100", "MSH")),
        (b"MSH\r|^~\\&|RIS|", ("AR", "100", "MSH")),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused_by_the_book_and_kept(
    ledger: Ledger, answering: Answering, content: bytes, refusal: tuple[str, str, str]
) -> None:
    """AE for what is wrong in a message, AR for one that is not for us; ERR says what and where, and the message is not lost."""
    got = answer(answering, content)
    assert (fields(got)[1], fields(got, "ERR")[3].split("^")[0], fields(got, "ERR")[2]) == refusal
    assert names(ledger) == []
    (((_, state), count),) = message_counts(ledger).items()
    assert (count, state in (MessageState.REFUSED, MessageState.UNKNOWN)) == (1, True)
    with ledger.reading() as session:
        assert session.execute(text("SELECT content FROM message")).scalar_one() == content


def test_a_batch_is_refused_under_its_own_control_id(answering: Answering) -> None:
    """The sender must be able to tell which of its batches was refused."""
    got = answer(answering, b"BHS|^~\\&|RIS|HOSPITAL|||20260301||||B77\r" + update() + b"BTS|1\r")
    assert fields(got)[:3] == ["MSA", "AR", "B77"]


def test_an_older_version_is_answered_in_its_own_terms(answering: Answering) -> None:
    """Before 2.5 ERR has one field with the place and the code, MSA-3 the text, and an acknowledgement no structure."""
    got = answer(answering, message("ADT^A40", "PID|1||P2", "MRG|", version="2.3"))
    assert fields(got, "MSH")[8] == "ACK^A40"
    assert fields(got)[3] == "MRG-1 has no identifier"
    assert fields(got, "ERR")[1] == "MRG^1^1^101&Required field missing&HL70357"


@pytest.mark.parametrize(("configured", "expected"), [("AR", "AR"), ("AE", "AE"), ("AA", "AA")])
def test_unknown_types_are_answered_as_configured_and_counted(ledger: Ledger, configured: str, expected: str) -> None:
    """A site whose engine sends everything may have what the node does nothing with accepted: it is counted all the same."""
    answering = Answering(ledger, MessageSettings(unknown_types=configured))
    assert fields(answer(answering, message("ADT^A01", "PID|1||P1")))[1] == expected
    assert message_counts(ledger) == {("ADT^A01", MessageState.UNKNOWN): 1}


@pytest.mark.parametrize(
    ("accept", "application", "good", "bad"),
    [
        ("AL", "NE", ["CA"], ["CE"]),
        ("NE", "AL", ["AA"], ["AE"]),
        ("AL", "AL", ["CA", "AA"], ["CE", "AE"]),
        ("ER", "SU", ["AA"], ["CE"]),
        ("NE", "NE", [], []),
        ("", "", ["AA"], ["AE"]),
    ],
)
def test_enhanced_mode_answers_what_was_asked_for(
    answering: Answering, accept: str, application: str, good: list[str], bad: list[str]
) -> None:
    """MSH-15 and MSH-16 say which acknowledgements are sent (table 0155); a sender that is silent about them gets one."""
    more = f"|||{accept}|{application}"
    assert [fields(each)[1] for each in answering.answer(update(more=more), PEER)] == good
    assert [fields(each)[1] for each in answering.answer(message("ADT^A08", more=more), PEER)] == bad


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("utf-8", ""), ("iso8859_1", ""), ("utf-8", "UNICODE UTF-8"), ("iso8859_1", "8859/1"), ("iso8859_15", "8859/15~UNICODE UTF-8")],
)
def test_names_are_read_in_the_characters_that_msh_18_names(ledger: Ledger, answering: Answering, encoding: str, named: str) -> None:
    """Umlauts arrive whole in each character set, and the answer names the same one."""
    got = answer(answering, update(name="Müßig^Zoë", more=f"||||||{named}", encoding=encoding))
    assert (fields(got)[1], names(ledger)) == ("AA", ["Müßig^Zoë"])
    assert "|".join(fields(got, "MSH")).endswith(named)


@pytest.mark.parametrize("place", ["Ålesund", "Dąbrowa", "Сахалин", "Città"])
def test_a_sender_may_name_itself_in_any_letters(ledger: Ledger, answering: Answering, place: str) -> None:
    """In UTF-8 these letters have a byte that is a line's end, or a blank, in other texts: it is neither here."""
    content = update().replace(b"HOSPITAL|DOSREMC", f"{place}|DOSREMC".encode())
    got = answer(answering, content)
    assert (fields(got)[1], fields(got, "MSH")[5].encode("iso8859_1").decode()) == ("AA", place)
    assert names(ledger) == ["DOE^JANE"]


def test_no_nul_gets_into_a_patient(ledger: Ledger, answering: Answering) -> None:
    """Neither as it stands nor by an escape sequence: a database that refuses it would have the sender try again for ever."""
    assert fields(answer(answering, update("P\0001^^^HOSPITAL", "DOE^\\X00\\JANE")))[1] == "AA"
    (change,) = list_changes(ledger)
    assert (change.patient.patient_id, change.name) == ("P1", "DOE^JANE")


@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n"])
def test_segments_may_end_with_line_feeds(ledger: Ledger, answering: Answering, ending: str) -> None:
    """CR is the standard's; senders use LF, and both."""
    assert fields(answer(answering, update(ending=ending)))[1] == "AA"
    assert names(ledger) == ["DOE^JANE"]


def test_other_separators_and_escapes_are_understood(ledger: Ledger, answering: Answering) -> None:
    """MSH says which separators a message uses; an escaped one is part of a value, and null is nothing."""
    content = 'MSH#*!/%#RIS#HOSPITAL#DOSREMC##2026##ADT*A08#1#P#2.4\rPID#1##P!1##D/S/E/T/O/R/E/X41/*JANE##""#F\r'.replace("P!1", "P1")
    got = answer(answering, content.encode())
    assert got.startswith(b"MSH#*!/%#DOSREMC##RIS#HOSPITAL#")
    assert b"MSA#AA#1" in got
    (change,) = list_changes(ledger)
    assert (change.name, change.birth_date) == ("D*E%O!EA^JANE", "")


def test_a_type_that_is_worked_on_later_is_checked_and_waits(ledger: Ledger) -> None:
    """Whoever works on a type says what it must have; what has it is accepted once it is kept."""

    def check(content: Message) -> None:
        content.first("OBX")

    answering = Answering(ledger, MessageSettings(), {"ORU^R01": check})
    assert fields(answer(answering, message("ORU^R01", "OBX|1|TX|22637-3^^LN||benign")))[1] == "AA"
    assert fields(answer(answering, message("ORU^R01", "PID|1||P1")))[1] == "AE"
    assert message_counts(ledger) == {("ORU^R01", MessageState.WAITING): 1, ("ORU^R01", MessageState.REFUSED): 1}


def test_what_cannot_be_kept_is_not_accepted(ledger: Ledger, answering: Answering) -> None:
    """Without its row a message is answered AR, which tells the sender to try again later, and quotes nobody."""
    with ledger.transaction() as session:
        session.execute(text("ALTER TABLE message RENAME TO elsewhere"))
    got = answer(answering, update())
    assert (fields(got)[1], fields(got, "ERR")[3].split("^")[0]) == ("AR", "207")
    assert b"DOE" not in got
    with ledger.transaction() as session:
        session.execute(text("ALTER TABLE elsewhere RENAME TO message"))
    assert fields(answer(answering, update()))[1] == "AA"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 60))
def test_whatever_comes_is_answered(ledger: Ledger, answering: Answering, noise: bytes, place: int, cut: int) -> None:
    """A message with anything cut out of it and put into it is answered, never an error."""
    whole = merge()
    for content in (whole[:place] + noise + whole[place + cut :], noise):
        (got,) = answering.answer(content, PEER)
        assert got.startswith((b"MSH", b"BHS", b"FHS"))
        assert any(f"MSA{got[3:4].decode('iso8859_1')}{code}".encode("iso8859_1") in got for code in ("AA", "AE", "AR"))


def test_a_refusal_names_no_patient() -> None:
    """The words of a refusal go to logs and answers."""
    assert "101" in str(MessageRefused(answer="AE", code=101, where="PID^1^3", why="PID-3 has no identifier"))
