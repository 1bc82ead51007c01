"""Two patients, one study: noted, never merged, decided by a person. Every test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from harness.ledger import NOW, at_once, image, plan, state_of

from dosremc_node.errors import NoSuchConflict, WrongResolution
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.audit import first_broken_link
from dosremc_node.ledger.conflict_decisions import Conflict, claims, conflict_counts, list_conflicts, resolve
from dosremc_node.ledger.conflicts import ConflictKind
from dosremc_node.ledger.overview import find_study, list_studies
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.revisions import due_studies, open_revision
from dosremc_node.ledger.states import StudyState
from dosremc_node.records import NotAssessedReason, StudyId, are_two_women, differing

JANE = {"patient_name": "DOE^JANE", "birth_date": "19600102"}


def arrives(ledger: Ledger, number: int, study: str = "1.2.3", sha256: str | None = None, **who: str) -> StudyId:
    """An image of a study, whose header names the patient so (patient P1 where nothing else is said)."""
    received, header = image(number, study, sha256=sha256)
    record_object(ledger, received, replace(header, who=replace(header.who, **{**JANE, **who})), at_once)
    found = find_study(ledger, study)
    assert found is not None
    return found


def only_conflict(ledger: Ledger) -> Conflict:
    (conflict,) = list_conflicts(ledger)
    return conflict


def test_one_womans_images_contradict_nothing(ledger: Ledger) -> None:
    """The same woman in one study, with a name that is spelt alike or left out, and in a second study, is what a hospital has every day."""
    arrives(ledger, 1)
    arrives(ledger, 2, patient_name="Doe^Jane^^")
    arrives(ledger, 3, patient_name="", birth_date="")
    arrives(ledger, 4, study="1.2.4", accession_number="A2")
    assert list_conflicts(ledger) == []
    assert len(due_studies(ledger, NOW)) == 2


@pytest.mark.parametrize(
    ("who", "what"),
    [
        ({"patient_id": "P2"}, "patient ID"),
        ({"issuer_of_patient_id": "ELSEWHERE"}, "issuer of patient ID"),
        ({"birth_date": "19700203"}, "birth date"),
        ({"patient_id": "", "patient_name": "ROE^MARY"}, "name"),
    ],
)
def test_two_women_in_one_study_are_never_scored_as_one(ledger: Ledger, who: dict[str, str], what: str) -> None:
    """A study whose images name two patients opens no revision, and says why, without naming either."""
    arrives(ledger, 1)
    study = arrives(ledger, 2, **who)
    assert (only_conflict(ledger).kind, only_conflict(ledger).differing) == (ConflictKind.TWO_PATIENTS, what)
    assert due_studies(ledger, NOW) == []
    assert open_revision(ledger, study, plan, NOW) is None
    (row,) = list_studies(ledger)
    assert (row.state, conflict_counts(ledger)[ConflictKind.TWO_PATIENTS]) == (StudyState.PARKED, 1)
    assert what in row.reason
    assert not any(value and value in f"{row}{only_conflict(ledger)}" for value in ("P1", "DOE", *who.values()))


def test_a_married_name_is_flagged_and_holds_up_nothing(ledger: Ledger) -> None:
    """Another name under the same patient ID is the same woman: assessed, and flagged."""
    arrives(ledger, 1)
    study = arrives(ledger, 2, patient_name="ROE^JANE")
    assert (only_conflict(ledger).kind, only_conflict(ledger).differing) == (ConflictKind.DEMOGRAPHICS, "name")
    assert due_studies(ledger, NOW) == [study]


def test_corrected_demographics_of_images_that_come_again_are_flagged(ledger: Ledger) -> None:
    """The same images under another patient ID are copies: kept and flagged, while the study stays the first patient's."""
    study = arrives(ledger, 1)
    arrives(ledger, 1, sha256="f" * 64, patient_id="P2")
    arrives(ledger, 1, sha256="e" * 64, patient_id="P2")
    assert (only_conflict(ledger).kind, only_conflict(ledger).differing) == (ConflictKind.DEMOGRAPHICS, "patient ID")
    assert [(each.who.patient_id, each.images, each.copies) for each in claims(ledger, 1)] == [("P1", 1, 0), ("P2", 0, 2)]
    assert due_studies(ledger, NOW) == [study]


def test_an_image_of_a_patient_whose_copy_came_first_still_makes_it_two(ledger: Ledger) -> None:
    """That a copy named the second woman before must not let her own image pass as known."""
    arrives(ledger, 1)
    arrives(ledger, 1, sha256="f" * 64, patient_id="P2")
    arrives(ledger, 2, patient_id="P2")
    assert {each.kind for each in list_conflicts(ledger)} == {ConflictKind.DEMOGRAPHICS, ConflictKind.TWO_PATIENTS}
    assert due_studies(ledger, NOW) == []


def test_one_accession_number_under_two_patients_is_told_of_both_studies(ledger: Ledger) -> None:
    """The number is flagged once, on both studies, and neither waits; the same patient may have it twice."""
    first, second = arrives(ledger, 1), arrives(ledger, 1, study="1.2.4", patient_id="P2")
    arrives(ledger, 2, study="1.2.4", patient_id="P2")
    arrives(ledger, 1, study="1.2.5")
    conflicts = [each for each in list_conflicts(ledger) if {each.study_id, each.other_study_id} == {first, second}]
    assert [each.kind for each in conflicts] == [ConflictKind.ACCESSION_NUMBER]
    assert all(row.conflicts for row in list_studies(ledger) if row.study_id in (first, second))
    assert len(due_studies(ledger, NOW)) == 3


def test_a_number_that_every_study_has_is_noted_a_few_times(ledger: Ledger) -> None:
    """A modality that gives all of them accession number 0 must hold up no sender: each image would be compared with all that ever came."""
    for number in range(15):
        arrives(ledger, 1, study=f"1.2.{number}", patient_id=f"P{number}", accession_number="0")
    arrives(ledger, 2, study="1.2.14", patient_id="P14", accession_number="0")
    noted = Counter(each.study_id for each in list_conflicts(ledger))
    assert max(noted.values()) == 10
    assert len(due_studies(ledger, NOW)) == 15


def test_a_person_may_say_that_it_is_one_woman(ledger: Ledger) -> None:
    """Then all images are assessed, what came is known, and the decision is in the audit trail."""
    arrives(ledger, 1)
    study = arrives(ledger, 2, birth_date="19600103")
    resolve(ledger, 1, "someone", "a slip of the keys")
    arrives(ledger, 3, birth_date="19600103")
    assert (list_conflicts(ledger), due_studies(ledger, NOW)) == ([], [study])
    revision = open_revision(ledger, study, plan, NOW)
    assert revision is not None
    assert [each.header.not_assessed for each in revision.plan.images] == [None] * 3
    assert first_broken_link(ledger) is None


def test_a_person_may_set_the_other_womans_images_aside(ledger: Ledger) -> None:
    """Only the images of the one that was chosen are left, those that come later too, and the study is hers."""
    arrives(ledger, 1)
    study = arrives(ledger, 2, patient_id="P2", patient_name="ROE^MARY")
    resolve(ledger, 1, "someone", "wrong worklist entry", keep=2)
    arrives(ledger, 3)
    revision = open_revision(ledger, study, plan, NOW)
    assert revision is not None
    assert [each.header.not_assessed for each in revision.plan.images] == [
        NotAssessedReason.OTHER_PATIENT, None, NotAssessedReason.OTHER_PATIENT,
    ]  # fmt: skip
    assert (revision.who.patient_id, state_of(ledger, study)) == ("P2", StudyState.ASSESSING)


def test_a_third_woman_is_another_conflict(ledger: Ledger) -> None:
    """What a person decided about two says nothing of a third; and a decision can be taken again."""
    arrives(ledger, 1)
    study = arrives(ledger, 2, patient_id="P2")
    resolve(ledger, 1, "someone", "", keep=1)
    arrives(ledger, 3, patient_id="P3")
    assert due_studies(ledger, NOW) == []
    resolve(ledger, only_conflict(ledger).conflict_id, "someone", "", keep=2)
    assert due_studies(ledger, NOW) == [study]


def test_what_cannot_be_decided_is_refused(ledger: Ledger) -> None:
    """No such conflict, no such number, and a flag that sets nothing aside are errors that say so."""
    arrives(ledger, 1)
    arrives(ledger, 2, patient_id="P2")
    arrives(ledger, 1, study="1.2.4", patient_id="P3")
    with pytest.raises(NoSuchConflict, match="77"):
        resolve(ledger, 77, "someone", "")
    with pytest.raises(WrongResolution, match="number 3"):
        resolve(ledger, 1, "someone", "", keep=3)
    with pytest.raises(WrongResolution, match="only where two patients"):
        resolve(ledger, 2, "someone", "", keep=1)


def test_whether_two_headers_can_be_one_womans() -> None:
    """What is empty contradicts nothing; a name alone does only where no patient ID vouches for it."""
    who = replace(image(1)[1].who, **JANE)
    assert differing(who, replace(who, patient_id="", patient_name="Doe^Jane", birth_date="")) == ()
    assert not are_two_women(who, replace(who, patient_name="ROE^JANE"))
    assert are_two_women(who, replace(who, patient_id="", patient_name="ROE^JANE"))
    assert are_two_women(who, replace(who, patient_name="ROE^JANE", birth_date="19700101"))
