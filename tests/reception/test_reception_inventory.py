"""What a PACS has of some days, also from one that understands half of the question."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event

from dosremc_node.errors import PeerRefused
from dosremc_node.reception import mammograms_of, mammography_of
from dosremc_node.reception.inventory import MANY_ANSWERS
from dosremc_node.reception.retrieve import STUDY_ROOT_FIND
from dosremc_node.settings import Destination
from dosremc_node.simulation.pacs import Orthanc

DAY, NEXT_DAY = date(2026, 1, 2), date(2026, 1, 3)


def as_peer(pacs: Orthanc) -> Destination:
    return Destination(name="pacs", ae_title=pacs.ae_title, host=pacs.host, port=pacs.port, timeout_seconds=10)


def test_orthanc_tells_what_it_has(orthanc: Orthanc, dcmtk: Callable[[str], str], mammogram_file: Callable[..., Path]) -> None:
    """The mammography of the days that are asked for, and of each study the mammograms, but for our own series."""
    files = [
        mammogram_file("1.dcm", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.1", PatientID="P1"),
        mammogram_file("2.dcm", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.1", PatientID="P1"),
        mammogram_file("3.dcm", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.2", PatientID="P1"),
        mammogram_file("4.dcm", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.3", PatientID="P1", Modality="SR"),
        mammogram_file("5.dcm", StudyInstanceUID="1.2.4", PatientID="P1", Modality="CT"),
        mammogram_file("6.dcm", StudyInstanceUID="1.2.5", PatientID="P2", StudyDate="20260103"),
        mammogram_file("7.dcm", StudyInstanceUID="1.2.6", PatientID="P2", StudyDate="20260104"),
    ]
    subprocess.run([dcmtk("dcmsend"), "-aec", orthanc.ae_title, orthanc.host, str(orthanc.port), *files], check=True)
    peer = as_peer(orthanc)
    assert {(each.study_instance_uid, each.images) for each in mammography_of(peer, "MODALITY", [DAY, NEXT_DAY])} == {
        ("1.2.3", 4),
        ("1.2.5", 1),
    }
    assert mammograms_of(peer, "MODALITY", "1.2.3", ()) == 3
    assert mammograms_of(peer, "MODALITY", "1.2.3", {"1.2.3.2"}) == 2


# --- A PACS that understands half of the question ---------------------------------------------------------------------


def study(number: int, modality: str, time: str = "120000") -> Dataset:
    data = Dataset()
    data.StudyInstanceUID, data.StudyDate, data.StudyTime, data.ModalitiesInStudy = f"1.2.{number}", "20260102", time, modality
    data.NumberOfStudyRelatedInstances = "4"
    return data


class OddPacs:
    """Answers C-FIND from a list of studies, each of one series of 4 objects, as odd as a test wants it."""

    def __init__(self, studies: list[Dataset]) -> None:
        self.studies, self.questions = studies, 0
        self.reads_modality = self.tells_modality = self.reads_time = self.tells_number = True
        self.knows_modality = True
        self.limit, self.status_beyond_limit = 1000, 0x0000
        entity = AE("ODD")
        entity.add_supported_context(STUDY_ROOT_FIND)
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, self._find)])
        assert self._server is not None
        self.peer = Destination(name="odd", ae_title="ODD", host="127.0.0.1", port=self._server.server_address[1], timeout_seconds=10)

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        self.questions += 1
        query = event.identifier
        answers = [self._answer(query, each) for each in self.studies if self._is_meant(query, each)]
        if query.QueryRetrieveLevel == "IMAGE":
            answers *= 4
        for answer in answers[: self.limit]:
            answer.QueryRetrieveLevel = query.QueryRetrieveLevel
            yield 0xFF00, answer
        if len(answers) > self.limit and self.status_beyond_limit:
            yield self.status_beyond_limit, None

    def _is_meant(self, query: Dataset, each: Dataset) -> bool:
        if query.QueryRetrieveLevel != "STUDY":
            return bool(query.StudyInstanceUID == each.StudyInstanceUID)
        wanted, times = query.ModalitiesInStudy, str(query.StudyTime).split("-")
        of_modality = not wanted or not self.reads_modality or (self.knows_modality and wanted == each.ModalitiesInStudy)
        in_time = len(times) < 2 or not self.reads_time or times[0] <= each.StudyTime <= times[1]
        return query.StudyDate == each.StudyDate and of_modality and in_time

    def _answer(self, query: Dataset, each: Dataset) -> Dataset:
        answer = Dataset()
        answer.StudyInstanceUID = each.StudyInstanceUID
        if query.QueryRetrieveLevel == "STUDY":
            answer.StudyDate = each.StudyDate
            if self.tells_modality:
                answer.ModalitiesInStudy = each.ModalitiesInStudy
        else:
            answer.SeriesInstanceUID, answer.Modality = each.StudyInstanceUID + ".1", each.ModalitiesInStudy
            if self.tells_number:
                answer.NumberOfSeriesRelatedInstances = "4"
        return answer


@pytest.fixture
def odd() -> Iterator[Callable[[list[Dataset]], OddPacs]]:
    started: list[OddPacs] = []

    def start(studies: list[Dataset]) -> OddPacs:
        started.append(OddPacs(studies))
        return started[-1]

    yield start
    for each in started:
        each.stop()


Odd = Callable[[list[Dataset]], OddPacs]


def found(pacs: OddPacs) -> set[str]:
    return {each.study_instance_uid for each in mammography_of(pacs.peer, "MODALITY", [DAY])}


@pytest.mark.parametrize("oddity", ["reads_modality", "knows_modality", "tells_modality"])
def test_a_pacs_that_ignores_the_modality_is_not_believed(odd: Odd, oddity: str) -> None:
    """Whether it ignores the modality in the question, matches nothing by it, or does not tell it: mammography is found, and no CT."""
    pacs = odd([study(1, "MG"), study(2, "CT")])
    setattr(pacs, oddity, False)
    assert found(pacs) == {"1.2.1"}


@pytest.mark.parametrize("status", [0x0000, 0xA700, 0xC001])
def test_a_limit_of_answers_hides_nothing(odd: Odd, status: int) -> None:
    """A PACS that gives so many answers and no more, with a word about it or without, is asked for parts of the day."""
    pacs = odd([study(number, "MG", f"{7 + number // 40:02d}{number % 40:02d}00") for number in range(150)])
    pacs.limit, pacs.status_beyond_limit = MANY_ANSWERS, status
    assert len(found(pacs)) == 150


def test_a_pacs_that_ignores_the_time_is_not_asked_for_ever(odd: Odd) -> None:
    """Where a part of the day brings the same as the whole, asking for smaller parts is of no use."""
    pacs = odd([study(number, "MG") for number in range(MANY_ANSWERS + 10)])
    pacs.reads_time = False
    assert len(found(pacs)) == MANY_ANSWERS + 10
    assert pacs.questions <= 4


def test_a_pacs_that_always_refuses_is_given_up(odd: Odd) -> None:
    """A status other than success for every part of the day is the PACS's answer, soon."""
    pacs = odd([study(1, "MG")])
    pacs.limit, pacs.status_beyond_limit = 0, 0xC001
    with pytest.raises(PeerRefused, match="0xC001"):
        found(pacs)
    assert pacs.questions < 20


def test_objects_are_counted_where_the_pacs_does_not_tell_their_number(odd: Odd) -> None:
    """Number of Series Related Instances is optional."""
    pacs = odd([study(1, "MG")])
    pacs.tells_number = False
    assert mammograms_of(pacs.peer, "MODALITY", "1.2.1", ()) == 4
