"""Which live exams monitoring and recalibration see, and what of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from harness.ledger import NOW, at_once, enter_exams, held, image, opened, plan
from sqlalchemy import update

from dosremc_node.ledger import Ledger
from dosremc_node.ledger.conflicts import ConflictKind
from dosremc_node.ledger.exams import AssessedExam, ScoredView, assessed_exams, examined
from dosremc_node.ledger.hospital_tables import ConflictRow
from dosremc_node.ledger.objections import object_to, revoke
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.revisions import keep_assessment, keep_documents, open_revision
from dosremc_node.ledger.tables import RevisionRow
from dosremc_node.records import Assessment, Domain, ImageScore, Laterality, NotAssessedReason, PatientIdentifier, StudyId, View, to_json

KEY = "Maker / Model / 1.0"


def exam(number: int, day: int = 1, **facts: object) -> AssessedExam:
    """A woman of 61 with two views of one breast."""
    views = tuple(
        ScoredView(f"{number:032x}{place:032x}", Laterality.LEFT, view, number / 8, positive=bool(number % 2))
        for place, view in enumerate((View.CC, View.MLO))
    )
    made = AssessedExam(
        StudyId(f"S-{number}"), KEY, Domain("maker"), "r1", "b" * 64, date(2026, 3, day), 61, in_shadow=False, positive=False, images=views
    )
    return replace(made, **facts)  # type: ignore[arg-type]


def test_exams_come_back_as_they_were_in_the_order_in_which_they_were_taken(ledger: Ledger) -> None:
    """Scores, digests, age, release, bank and what was left out: whatever the order of entering was."""
    told = [exam(1, day=3), exam(2, day=1, in_shadow=True), exam(3, day=2, age=None, not_assessed=(NotAssessedReason.SPOT,))]
    enter_exams(ledger, told)
    assert assessed_exams(ledger) == [told[1], told[2], told[0]]


def test_scanner_domain_and_days_choose(ledger: Ledger) -> None:
    """The first day is in, the last is not."""
    enter_exams(ledger, [exam(1, 1), exam(2, 2), exam(3, 3), exam(4, 2, scanner_key="other"), exam(5, 2, domain=Domain("else"))])

    def numbers(**chosen: object) -> list[str]:
        return [each.study_id for each in assessed_exams(ledger, **chosen)]  # type: ignore[arg-type]

    assert numbers(scanner_key="other") == ["S-4"]
    assert numbers(domain=Domain("else")) == ["S-5"]
    assert numbers(scanner_key=KEY, domain=Domain("maker"), since=date(2026, 3, 2), until=date(2026, 3, 3)) == ["S-2"]


def test_the_latest_revision_with_an_assessment_counts(ledger: Ledger) -> None:
    """One that is still being assessed takes nothing away from the one before."""
    first = opened(ledger)

    def assess(logit: float) -> Assessment:
        score = ImageScore(f"1.2.3.{1}", Laterality.LEFT, View.CC, logit, 0.5, positive=True, findings=())
        return Assessment((score,), (), 0.5, positive=True, images_not_assessed=(), not_assessed=None)

    hold = held(ledger, first)
    keep_assessment(ledger, hold, assess(1.0))
    keep_documents(ledger, hold, (), ())
    record_object(ledger, *image(2, at=NOW + timedelta(minutes=1)), at_once)
    second = open_revision(ledger, first.study_id, plan, NOW + timedelta(minutes=2))
    assert second is not None
    assert [each.images[0].logit for each in assessed_exams(ledger)] == [1.0]
    keep_assessment(ledger, held(ledger, second), assess(2.0))
    assert [(each.images[0].logit, each.images[0].sha256) for each in assessed_exams(ledger)] == [(2.0, f"{1:064x}")]


def test_what_is_no_whole_exam_of_one_woman_is_left_out(ledger: Ledger) -> None:
    """Two women in a study, what was left after images had been removed, and exams without a score, which only `examined` has."""
    enter_exams(ledger, [exam(1), exam(2), exam(3, images=(), not_assessed=(NotAssessedReason.UNREADABLE,)), exam(4)])
    removed = Assessment((), (), None, positive=False, images_not_assessed=(), not_assessed=NotAssessedReason.IMAGES_REMOVED)
    with ledger.transaction() as session:
        session.add(ConflictRow(kind=ConflictKind.TWO_PATIENTS, study_id="S-1", differing="birth date", found_at=NOW))
        session.execute(update(RevisionRow).where(RevisionRow.study_id == "S-2").values(assessment=to_json(removed)))
    assert [each.study_id for each in assessed_exams(ledger)] == ["S-4"]
    assert [each.study_id for each in examined(ledger)] == ["S-3", "S-4"]


def test_women_who_objected_are_left_out(ledger: Ledger) -> None:
    """Until they say otherwise."""
    enter_exams(ledger, [exam(1), exam(2)])
    objection = object_to(ledger, PatientIdentifier("S-1", "ISSUER"), "a person", "by letter")
    assert [each.study_id for each in examined(ledger)] == ["S-2"]
    revoke(ledger, objection, "a person", "by telephone")
    assert len(assessed_exams(ledger)) == 2
