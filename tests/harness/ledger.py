"""Studies, revisions and answers for the tests of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.exams import AssessedExam
from dosremc_node.ledger.overview import find_study, list_studies
from dosremc_node.ledger.receiving import (
    record_object,
)
from dosremc_node.ledger.revisions import (
    Hold,
    keep_assessment,
    keep_documents,
    open_revision,
    take_in_hand,
)
from dosremc_node.ledger.states import RevisionState, StudyState
from dosremc_node.ledger.tables import RevisionRow, StudyRow
from dosremc_node.records import (
    Assessment,
    BankId,
    DeliveryOutcome,
    DeliveryResult,
    Document,
    DocumentKind,
    Domain,
    ImageHeader,
    ImageNotAssessed,
    ImageScore,
    Laterality,
    NotAssessedReason,
    OperatingPoint,
    PatientAndStudy,
    Plan,
    ReceivedObject,
    ScannerKey,
    StudyId,
    StudyImage,
    StudyRevision,
    View,
    to_json,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SCANNER = ScannerKey("Maker", "Model", "1.0")

ASSESSMENT = Assessment((), (), 0.25, positive=False, images_not_assessed=(), not_assessed=None)


def image(number: int, study: str = "1.2.3", *, sha256: str | None = None, at: datetime = NOW) -> tuple[ReceivedObject, ImageHeader]:
    """The object and header of one image of a study."""
    uid = f"{study}.{number}"
    received = ReceivedObject(
        sha256 or f"{number:064x}", 1 << 33, "1.2.840.10008.5.1.4.1.1.1.2", uid, "1.2.840.10008.1.2.1", "MODALITY", "127.0.0.1", at
    )
    who = PatientAndStudy(study, "P1", "ISSUER", "A1", date(2026, 3, 1))
    return received, ImageHeader(who, uid, received.sop_class_uid, f"{study}.9", "MG", SCANNER, Laterality.LEFT, View.CC)


def at_once(_headers: object, _since: datetime, last: datetime) -> datetime:
    """A due rule: complete with every image."""
    return last


def plan(images: object) -> Plan:
    """A plan that assesses every image with one bank."""
    assert isinstance(images, list)
    chosen = tuple(StudyImage(instance_id, sha256, header, None) for instance_id, sha256, header in images)
    return Plan(chosen, SCANNER, Domain("maker"), "r1", BankId(Domain("maker"), "b" * 64), OperatingPoint(0.5), None)


def opened(ledger: Ledger, study: str = "1.2.3") -> StudyRevision:
    """A study of one image with an open revision."""
    record_object(ledger, *image(1, study), at_once)
    study_id = find_study(ledger, study)
    assert study_id is not None
    revision = open_revision(ledger, study_id, plan, NOW)
    assert revision is not None
    return revision


def held(ledger: Ledger, revision: StudyRevision) -> Hold:
    """The revision in hand."""
    hold = take_in_hand(ledger, revision.study_id, revision.number, 5)
    assert hold is not None
    return hold


def documents(revision: StudyRevision) -> list[tuple[Document, str]]:
    """A summary and a region report, as if rendered."""
    return [
        (
            Document(kind, "1.2.840.10008.5.1.4.1.1.88.33", f"2.25.{revision.number}{place}", f"2.25.9{place}", "AI", b""),
            f"documents/ab/{'ab' * 32}",
        )
        for place, kind in enumerate((DocumentKind.SUMMARY, DocumentKind.REGION))
    ]


def delivering(ledger: Ledger, destinations: Sequence[str] = ("pacs",)) -> StudyRevision:
    """A revision whose two documents are due at each destination."""
    revision = opened(ledger)
    hold = held(ledger, revision)
    keep_assessment(ledger, hold, ASSESSMENT)
    keep_documents(ledger, hold, documents(revision), [(name, tuple(DocumentKind)) for name in destinations])
    return revision


def answer(outcome: DeliveryOutcome, status: int | None, *uids: str) -> list[DeliveryResult]:
    """The same answer to each document."""
    return [DeliveryResult(uid, outcome, status, "in words") for uid in uids]


def never(_attempts: int) -> datetime | None:
    """A retry rule: tried often enough."""
    return None


def state_of(ledger: Ledger, study_id: StudyId) -> StudyState:
    """What `status` shows."""
    return next(row.state for row in list_studies(ledger) if row.study_id == study_id)


def enter_exams(ledger: Ledger, exams: Iterable[AssessedExam]) -> None:
    """Enter finished exams as rows, as the node would have left them; ``study_id`` is also the number of the woman."""
    with ledger.transaction() as session:
        for exam in exams:
            session.add(_study_row(exam))
            session.flush()
            session.add(_revision_row(exam))


def _study_row(exam: AssessedExam) -> StudyRow:
    at = datetime(exam.taken_on.year, exam.taken_on.month, exam.taken_on.day, 12, tzinfo=UTC)
    return StudyRow(
        study_id=exam.study_id,
        study_instance_uid=f"1.2.{exam.study_id}",
        patient_id=exam.study_id,
        issuer_of_patient_id="ISSUER",
        accession_number=f"A{exam.study_id}",
        study_date=exam.taken_on,
        first_received_at=at,
        last_received_at=at,
    )


def _revision_row(exam: AssessedExam) -> RevisionRow:
    at = datetime(exam.taken_on.year, exam.taken_on.month, exam.taken_on.day, 12, 1, tzinfo=UTC)
    birth_date = f"{exam.taken_on.year - exam.age}0101" if exam.age is not None else ""
    who = PatientAndStudy(f"1.2.{exam.study_id}", exam.study_id, "ISSUER", f"A{exam.study_id}", exam.taken_on, birth_date=birth_date)
    why = NotAssessedReason.UNKNOWN_SCANNER if exam.in_shadow else None
    scores = tuple(
        ImageScore(f"{who.study_instance_uid}.{place}", each.laterality, each.view, each.logit, 0.5, positive=each.positive, findings=())
        for place, each in enumerate(exam.images)
    )
    left_out = tuple(ImageNotAssessed(f"{who.study_instance_uid}.9{place}", "?", reason) for place, reason in enumerate(exam.not_assessed))
    headers = [
        ImageHeader(who, score.sop_instance_uid, "1.2.840.10008.5.1.4.1.1.1.2", "1.9", "MG", SCANNER, score.laterality, score.view)
        for score in scores
    ]
    pinned = plan([(place, image.sha256, header) for place, (image, header) in enumerate(zip(exam.images, headers, strict=True))])
    pinned = replace(pinned, scanner=ScannerKey(*[*exam.scanner_key.split(" / "), "", ""][:3]))
    assessment = Assessment(scores, (), 0.5 if scores else None, exam.positive, left_out, why)
    return RevisionRow(
        study_id=exam.study_id,
        number=1,
        state=RevisionState.DONE,
        release_id=exam.release_id,
        domain=exam.domain,
        bank_sha256=exam.bank_sha256,
        scanner_key=exam.scanner_key,
        threshold=0.5,
        plan=to_json(pinned),
        assessment=to_json(assessment),
        opened_at=at,
        assessed_at=at,
        finished_at=at,
    )
