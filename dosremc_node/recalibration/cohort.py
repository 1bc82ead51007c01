"""Live exams and what is known of their truth, by scanner key: what the generators work on, and how it is split.

Fitting comes first and judging later, and no woman stands on both sides: a score that has seen her once would flatter itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from dosremc_node.errors import TooFewEvents, TooFewExams
from dosremc_node.evaluation import Values
from dosremc_node.ledger.exams import AssessedExam
from dosremc_node.ledger.labels import Label
from dosremc_node.recalibration.scores import Scores
from dosremc_node.records import LabelState, Laterality, StudyId

Labels = Mapping[tuple[StudyId, Laterality], Label]

BELIEVED = frozenset({LabelState.POSITIVE, LabelState.CONFIRMED_NEGATIVE})
UNLABELLED: Labels = {}


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Exams in the order in which they were taken; image i of `scores` is image i here.

    ``exams`` (exams,); ``women`` (exams,): the number of each exam's woman; ``scores``: n images with logits under the banks that scored
    them live.
    """

    exams: tuple[AssessedExam, ...]
    women: NDArray[np.intp]
    scores: Scores

    def __len__(self) -> int:
        """Exams, not images."""
        return len(self.exams)

    @property
    def images(self) -> tuple[tuple[str, Laterality], ...]:
        """Digest of the file and side of each image, (n,): what its network input is made from."""
        return tuple((image.sha256, image.laterality) for exam in self.exams for image in exam.images)

    def where(self, chosen: NDArray[np.bool_]) -> Cohort:
        """The exams for which ``chosen`` (exams,) is true."""
        kept = np.flatnonzero(chosen)
        return Cohort(tuple(self.exams[place] for place in kept), self.women[chosen], self.scores.where(chosen[self.scores.exams]))

    def first(self, count: int) -> Cohort:
        """The first ``count`` exams."""
        return self.where(np.arange(len(self)) < count)

    def labelled(self) -> Cohort:
        """The exams with an image whose label may be believed, with all their images."""
        return self.where(np.isin(np.arange(len(self)), self.scores.exams[self.scores.known]))

    def of_key(self, scanner_key: str) -> Cohort:
        """The exams of one scanner key; all where it is empty."""
        return self.where(np.array([scanner_key in {"", exam.scanner_key} for exam in self.exams], np.bool_))

    def taken_since(self, day: date) -> Cohort:
        """The exams from that day on."""
        return self.where(np.array([exam.taken_on >= day for exam in self.exams], np.bool_))

    def with_logits(self, logits: Values) -> Cohort:
        """The same exams as another bank scores them, (n,)."""
        return replace(self, scores=replace(self.scores, logits=logits))


def cohort_of(exams: Sequence[AssessedExam], labels: Labels, women: Mapping[StudyId, int]) -> Cohort:
    """Live exams as scores. An image has the label of its breast: pending and unknown are no label.

    Nor is one that stands for nobody yet: cancers come to be known years before the negatives of their exams, and would be all of them.
    """
    images = [(number, exam, image) for number, exam in enumerate(exams) for image in exam.images]
    known = [labels.get((exam.study_id, image.laterality)) for _, exam, image in images]
    believed = [label if label is not None and label.state in BELIEVED and label.weight > 0 else None for label in known]
    scores = Scores(
        exams=np.array([number for number, _, _ in images], np.intp),
        logits=np.array([image.logit for _, _, image in images], np.float64),
        malignant=np.array([label is not None and label.state is LabelState.POSITIVE for label in believed], np.bool_),
        known=np.array([label is not None for label in believed], np.bool_),
        dates=np.array([exam.taken_on for _, exam, _ in images], "datetime64[D]"),
        weights=np.array([label.weight if label else 1.0 for label in believed], np.float64),
    )
    return Cohort(tuple(exams), np.array([women[exam.study_id] for exam in exams], np.intp), scores)


def by_scanner_key(exams: Iterable[AssessedExam]) -> dict[str, list[AssessedExam]]:
    """Exams of each scanner key, in their order."""
    found: dict[str, list[AssessedExam]] = {}
    for exam in exams:
        found.setdefault(exam.scanner_key, []).append(exam)
    return found


def split(cohort: Cohort, fitted: int) -> tuple[Cohort, Cohort]:
    """The first ``fitted`` exams to fit, all later ones to judge by, which stay whole.

    A woman who comes again later is left out of what is fitted, never of what is judged: those are consecutive. Raises `TooFewExams`
    where nothing is left on a side.
    """
    later = np.arange(len(cohort)) >= fitted
    fit, judged = cohort.where(~later & ~np.isin(cohort.women, cohort.women[later])), cohort.where(later)
    for what, part in (("part to fit", fit), ("part to judge by", judged)):
        if not len(part):
            raise TooFewExams(what=what, exams=0, needed=1)
    return fit, judged


def split_by_exams(cohort: Cohort, fitted: int, judged: int, judged_until: date | None, judged_share: float) -> tuple[Cohort, Cohort]:
    """Split what is judged without labels so that at least ``fitted`` exams are fitted and ``judged`` later ones judge, none of them twice.

    Before the first look ``judged_share`` of them judge, if that is more. Raises `TooFewExams`.
    """
    place = _place_after(cohort, judged_until) if judged_until else len(cohort) - max(judged, round(judged_share * len(cohort)))
    for what, needed, there in (("part to fit", fitted, place), ("part to judge by", judged, len(cohort) - place)):
        if there < needed:
            raise TooFewExams(what=what, exams=max(there, 0), needed=needed)
    return split(cohort, place)


def split_by_events(cohort: Cohort, fitted: int, judged: int, judged_until: date | None) -> tuple[Cohort, Cohort]:
    """Split so that at least ``fitted`` exams with a known malignancy are fitted and ``judged`` later ones judge.

    No exam judges twice: those up to ``judged_until``, which earlier looks have judged by, are fitted. Before the first look the later
    half of the events judges, as far as enough are left to fit. Raises `TooFewEvents`, `TooFewExams`.
    """
    events = np.unique(cohort.scores.exams[cohort.scores.malignant & cohort.scores.known])
    if judged_until is None:
        later = max(judged, min(len(events) // 2, len(events) - fitted))
        place = int(events[-later - 1]) + 1 if len(events) > later else 0
    else:
        place = _place_after(cohort, judged_until)
    for needed, there in ((fitted, int((events < place).sum())), (judged, int((events >= place).sum()))):
        if there < needed:
            raise TooFewEvents(events=there, needed=needed)
    return split(cohort, place)


def _place_after(cohort: Cohort, day: date) -> int:
    return sum(exam.taken_on <= day for exam in cohort.exams)
