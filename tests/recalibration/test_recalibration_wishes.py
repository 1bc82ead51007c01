"""Which generators a domain calls for, and what each still waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import cast

import numpy as np

from dosremc_node.ledger.exams import AssessedExam, ScoredView
from dosremc_node.ledger.labels import Label
from dosremc_node.recalibration import ChangeKind, ChangePlan
from dosremc_node.recalibration.candidates import Situation
from dosremc_node.recalibration.cohort import Cohort, cohort_of
from dosremc_node.recalibration.wishes import Wish, interval_of, wishes
from dosremc_node.records import BankId, Domain, LabelState, Laterality, OperatingPoint, StudyId, View
from dosremc_node.releases import LoadedRelease

FIRST = date(2026, 1, 1)
OWN, LENT = Domain("own"), Domain("lent")


@dataclass(frozen=True)
class Release:
    """As much of a release as wishes ask for."""

    banks: Mapping[Domain, BankId]
    operating_points: Mapping[str, OperatingPoint]


@dataclass(frozen=True)
class Loaded:
    release: Release


def cohort(count: int, *, key: str = "key", in_shadow: bool = False, cancers: int = 0) -> Cohort:
    """Two images of one breast each, sixty exams a day; the first ones of each hundred have cancers, all are mature."""
    exams = [
        AssessedExam(
            StudyId(f"S-{number}"), key, OWN, "r", "b", FIRST + timedelta(days=number // 60), 60, in_shadow=in_shadow, positive=False,
            images=tuple(ScoredView(f"{number}{view}", Laterality.LEFT, view, 0.0, positive=False) for view in (View.CC, View.MLO)),
        )
        for number in range(count)
    ]  # fmt: skip
    every = count // cancers if cancers else count + 1
    state = {True: LabelState.POSITIVE, False: LabelState.CONFIRMED_NEGATIVE}
    since = datetime(2026, 6, 1, tzinfo=UTC)
    labels = {(exam.study_id, Laterality.LEFT): Label(state[number % every == every - 1], None, since) for number, exam in enumerate(exams)}
    return cohort_of(exams, labels if cancers else {}, {exam.study_id: number for number, exam in enumerate(exams)})


def situation(*banks: tuple[Domain, str], reference: int = 1000) -> Situation:
    """The domain `own`, in a release with these banks by digest."""
    release = Release({domain: BankId(domain, digest) for domain, digest in banks}, {})
    scored_with = OWN if OWN in release.banks else LENT
    parent = cast("LoadedRelease", Loaded(release))
    return Situation(parent, OWN, scored_with, ChangePlan(), cohort(reference).scores, OperatingPoint(0.5))


def found(of: Situation, exams: Cohort, shifted: Mapping[str, date] = {}) -> dict[ChangeKind, Wish]:
    """The wishes by kind, where nothing has judged before."""
    return {wish.kind: wish for wish in wishes(of, exams, shifted, lambda _kind, _key: None)}


def test_a_new_domain_asks_for_alignment_in_days_and_statistics_in_weeks() -> None:
    """Both without labels; nothing that needs labels as long as it has no bank."""
    new = situation((LENT, "a"))
    early = found(new, cohort(499, in_shadow=True))
    assert set(early) == {ChangeKind.ALIGNMENT, ChangeKind.STATISTICS}
    assert "499 exams and at least 500" in early[ChangeKind.ALIGNMENT].why_not
    assert not found(new, cohort(500, in_shadow=True))[ChangeKind.ALIGNMENT].why_not
    assert "at least 1250" in found(new, cohort(1249, in_shadow=True))[ChangeKind.STATISTICS].why_not
    assert not found(new, cohort(1250, in_shadow=True))[ChangeKind.STATISTICS].why_not


def test_a_bank_on_loan_still_asks_for_statistics_of_its_own() -> None:
    """An alignment gave the domain a copy of another's bank."""
    assert not found(situation((LENT, "a"), (OWN, "a")), cohort(1250))[ChangeKind.STATISTICS].why_not
    assert ChangeKind.STATISTICS not in found(situation((LENT, "a"), (OWN, "b")), cohort(1250))


def test_a_well_scanner_is_left_alone_without_outcomes() -> None:
    """Neither alignment nor statistics: recalibrating without need harms."""
    asked = found(situation((LENT, "a"), (OWN, "b")), cohort(5000))
    assert set(asked) == {ChangeKind.CALIBRATION, ChangeKind.FINE_TUNING}
    assert all("There are 0 exams" in wish.why_not for wish in asked.values())


def test_a_shift_counts_from_its_day() -> None:
    """Exams before it are another scanner's, as it were; a domain that is shown has its statistics judged by outcomes."""
    own = situation((LENT, "a"), (OWN, "b"))
    asked = found(own, cohort(1500), {"key": FIRST + timedelta(days=20)})
    assert "300 exams and at least 500" in asked[ChangeKind.ALIGNMENT].why_not
    asked = found(own, cohort(3000), {"key": FIRST + timedelta(days=20)})
    assert not asked[ChangeKind.ALIGNMENT].why_not
    assert "judged by outcomes" in asked[ChangeKind.STATISTICS].why_not
    assert len(interval_of(cohort(3000), {"key": FIRST + timedelta(days=20)})) == 1800


def test_outcomes_are_waited_for_as_the_plan_says() -> None:
    """20 events for a calibration, 150 for fine-tuning."""
    own = situation((LENT, "a"), (OWN, "b"))
    asked = found(own, cohort(2000, cancers=40))
    assert not asked[ChangeKind.CALIBRATION].why_not
    assert asked[ChangeKind.FINE_TUNING].why_not
    assert not found(own, cohort(2000, cancers=200))[ChangeKind.FINE_TUNING].why_not


def test_a_small_reference_holds_up_what_is_held_against_it() -> None:
    """An alignment to 999 exams is no alignment."""
    asked = found(situation((LENT, "a"), reference=999), cohort(2000, in_shadow=True))
    assert all("The reference has 999" in wish.why_not for wish in asked.values())


def test_each_scanner_of_a_domain_is_asked_for_itself() -> None:
    """The one that is new is aligned, the other one is not."""
    both = cohort(600)
    halves = tuple(replace(exam, scanner_key="new", in_shadow=True) if number % 2 else exam for number, exam in enumerate(both.exams))
    asked = list(wishes(situation((LENT, "a"), (OWN, "b")), replace(both, exams=halves), {}, lambda _kind, _key: None))
    assert [wish.scanner_key for wish in asked if wish.kind is ChangeKind.ALIGNMENT] == ["new"]
    assert {wish.scanner_key for wish in asked if wish.kind is ChangeKind.CALIBRATION} == {"key", "new"}
    assert np.sum(both.of_key("new").scores.exams) == 0
