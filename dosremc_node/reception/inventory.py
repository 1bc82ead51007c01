"""Ask a PACS for all mammography of some days, without trusting that it understood the question (PS3.4 Annex C, Study Root).

A PACS may ignore Modalities in Study, as a key or in its answers, or find nothing by it; it may answer only so many times, with or without
a word about that. So days are asked for one by one, a day of too many answers hour by hour, one without any again without the modality,
and a study of which nothing is said has its series asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from pydicom.dataset import Dataset
from pynetdicom.association import Association

from dosremc_node.errors import PeerRefused
from dosremc_node.reception.retrieve import MAMMOGRAPHY, STUDY_ROOT_FIND, FoundStudy, as_whole_number, associated, found_study, matches
from dosremc_node.settings import Destination

MANY_ANSWERS: Final = 50
"""So many answers to one question may be all that a PACS gives: its limit is often 100, 200, 500 or 1000."""

_SECONDS_OF_A_DAY = 86_400
_SMALLEST_PART = 900

_Answers = dict[str, FoundStudy]


def mammography_of(peer: Destination, calling_ae_title: str, days: Sequence[date]) -> list[FoundStudy]:
    """The mammography studies that a PACS has of some days; raises `PeerUnreachable`, `PeerRefused`."""
    with associated(peer, calling_ae_title, STUDY_ROOT_FIND, peer.timeout_seconds) as association:
        found = [study for day in days for study in _of_day(peer, association, day)]
        return [study for study in found if _is_mammography(peer, association, study)]


def mammograms_of(peer: Destination, calling_ae_title: str, study: str, not_of: Collection[str]) -> int:
    """How many objects a PACS has in the mammography series of a study, but for the series ``not_of``."""
    with associated(peer, calling_ae_title, STUDY_ROOT_FIND, peer.timeout_seconds) as association:
        series = [each for each in _series(peer, association, study) if str(each.get("SeriesInstanceUID", "")) not in not_of]
        return sum(_objects(peer, association, study, each) for each in series if each.get("Modality") == MAMMOGRAPHY)


@dataclass(frozen=True, slots=True)
class _Question:
    """The studies of a day, or of a part of it (seconds of the day); an empty modality asks for all."""

    day: date
    modality: str
    first: int = 0
    end: int = _SECONDS_OF_A_DAY

    @property
    def is_small(self) -> bool:
        return self.end - self.first <= _SMALLEST_PART

    def halves(self) -> tuple[_Question, _Question]:
        middle = (self.first + self.end) // 2
        return replace(self, end=middle), replace(self, first=middle)


def _of_day(peer: Destination, association: Association, day: date) -> Collection[FoundStudy]:
    found = _all_of(peer, association, _Question(day, MAMMOGRAPHY))
    return (found or _all_of(peer, association, _Question(day, ""))).values()


def _all_of(peer: Destination, association: Association, question: _Question) -> Mapping[str, FoundStudy]:
    return _divided(peer, association, question, _answers(peer, association, question))


def _divided(peer: Destination, association: Association, question: _Question, answers: _Answers | None) -> _Answers:
    """The answers; where they may not be all of them, those to the halves of the question too."""
    if answers is not None and (len(answers) < MANY_ANSWERS or question.is_small):
        return answers
    halves = [(half, _answers(peer, association, half)) for half in question.halves()]
    if answers is not None and all(of_half is not None and of_half.keys() == answers.keys() for _, of_half in halves):
        return answers  # the PACS does not look at the time
    # A study without a time is in no part of the day: what the whole gave is kept.
    found = dict(answers or {})
    for half, of_half in halves:
        found |= _divided(peer, association, half, of_half)
    return found


def _answers(peer: Destination, association: Association, question: _Question) -> _Answers | None:
    """The studies by UID; None where the PACS refuses, perhaps because there are too many."""
    try:
        return {study.study_instance_uid: study for study in _ask(peer, association, question)}
    except PeerRefused:
        if question.is_small:
            raise
        return None


def _ask(peer: Destination, association: Association, question: _Question) -> Iterator[FoundStudy]:
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = query.PatientID = query.AccessionNumber = query.NumberOfStudyRelatedInstances = ""
    query.StudyDate = question.day.strftime("%Y%m%d")
    is_whole_day = question.end - question.first == _SECONDS_OF_A_DAY
    query.StudyTime = "" if is_whole_day else f"{_clock(question.first)}-{_clock(question.end - 1)}.999999"
    query.ModalitiesInStudy = question.modality
    yield from map(found_study, matches(peer, association, query))


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"


def _is_mammography(peer: Destination, association: Association, study: FoundStudy) -> bool:
    if study.modalities:
        return MAMMOGRAPHY in study.modalities
    return any(each.get("Modality") == MAMMOGRAPHY for each in _series(peer, association, study.study_instance_uid))


def _series(peer: Destination, association: Association, study: str) -> Iterator[Dataset]:
    query = Dataset()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID = study
    query.SeriesInstanceUID = query.Modality = query.NumberOfSeriesRelatedInstances = ""
    yield from matches(peer, association, query)


def _objects(peer: Destination, association: Association, study: str, series: Dataset) -> int:
    """How many objects a series has; where the PACS does not say so, they are counted."""
    told = as_whole_number(series.get("NumberOfSeriesRelatedInstances"))
    if told is not None:
        return told
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID, query.SeriesInstanceUID, query.SOPInstanceUID = study, series.SeriesInstanceUID, ""
    return sum(1 for _ in matches(peer, association, query))
