"""How destinations want their documents: storage commitment, another SOP class, another maker's name; the whole node against real peers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pydicom
import pytest
from harness.documents import evidence
from harness.node import RunningNode, send_to, wait_until
from pydicom.uid import EnhancedSRStorage, ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage, MammographyCADSRStorage
from pynetdicom import AE, evt

from dosremc_node.records import Laterality
from dosremc_node.simulation import SimulatedExam
from dosremc_node.simulation.loopback import free_port
from dosremc_node.simulation.pacs import Orthanc

pytestmark = pytest.mark.system

ExamOf = Callable[..., SimulatedExam]
StartNode = Callable[..., RunningNode]


def destination(pacs: Any, **settings: Any) -> str:
    """The option that makes a PACS the only destination, with further settings."""
    known = {"name": "pacs", "ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port, "purpose": "test", "retry_seconds": 0.5}
    return "destinations=[{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in {**known, **settings}.items()) + "}]"


def test_a_study_is_done_once_orthanc_has_committed(orthanc: Orthanc, start_node: StartNode, exam_of: ExamOf) -> None:
    """Promise 2: Orthanc reports on an association of its own, to the receiver; only then are the documents delivered."""
    node = start_node(orthanc, options=[destination(orthanc, commitment=True)])
    send_to(node, [image.content for image in exam_of("A", 1, Laterality.RIGHT).images])
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")
    assert {row["comment"] for row in node.reports()} == {"Committed to its storage"}
    assert "commitment_reported" in node.log.read_text()
    assert len(orthanc.instances()) == len(node.reports())


class Picky:
    """A storage SCP that accepts some SOP classes only, and keeps what it gets."""

    def __init__(self, *sop_classes: str) -> None:
        self.ae_title, self.host, self.port, self.description = "PICKY", "127.0.0.1", free_port(), "a picky SCP"
        self.received: list[bytes] = []
        self.data_sets: list[bytes] = []
        self._entity = AE(ae_title=self.ae_title)
        for sop_class in sop_classes:
            self._entity.add_supported_context(sop_class, [ExplicitVRLittleEndian])
        self._server = self._entity.start_server((self.host, self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])

    def _store(self, event: Any) -> int:
        self.received.append(event.encoded_dataset())
        self.data_sets.append(event.encoded_dataset(include_meta=False))
        return 0

    def knows(self, ae_title: str, port: int) -> None:
        """Anybody may connect."""

    def stop(self) -> None:
        self._server.shutdown()


@pytest.fixture
def start_picky() -> Iterator[Callable[..., Picky]]:
    started: list[Picky] = []

    def start(*sop_classes: str) -> Picky:
        started.append(Picky(*sop_classes))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.mark.slow
def test_a_pacs_that_takes_enhanced_sr_only_gets_that(start_picky: Callable[..., Picky], start_node: StartNode, exam_of: ExamOf) -> None:
    """The documents go under their own UIDs, byte for byte as they were kept before the first send."""
    pacs = start_picky(EnhancedSRStorage)
    node = start_node(pacs, options=[destination(pacs)])
    send_to(node, [image.content for image in exam_of("A", 1, Laterality.RIGHT).images])
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")
    assert {str(pydicom.dcmread(BytesIO(content)).SOPClassUID) for content in pacs.received} == {EnhancedSRStorage}
    kept = node.artifacts("documents").values()
    assert all(any(each.endswith(data_set) for each in kept) for data_set in pacs.data_sets)
    delivered = {row["sop_instance_uid"] for row in node.reports() if row["destination"]}
    assert {str(pydicom.dcmread(BytesIO(content)).SOPInstanceUID) for content in pacs.received} == delivered


def test_a_workstation_that_takes_cad_reports_only(start_picky: Callable[..., Picky], start_node: StartNode, exam_of: ExamOf) -> None:
    """It gets the CAD report, from the maker that it wants to read; the others are parked with the reason, until a person gives them up."""
    pacs = start_picky(MammographyCADSRStorage)
    wanted = destination(pacs, documents=["summary", "cad"], cad_manufacturer="MAKER", cad_model="MODEL")
    node = start_node(pacs, options=[wanted])
    send_to(node, [image.content for image in exam_of("A", 1, Laterality.RIGHT).images])
    wait_until(lambda: [study["state"] for study in node.studies()] == ["parked"], "the study is parked")
    (content,) = pacs.received
    report = pydicom.dcmread(BytesIO(content))
    assert (report.Manufacturer, report.ManufacturerModelName) == ("MAKER", "MODEL")
    (study,) = node.studies()
    assert "does not accept this SOP class" in study["reason"]
    assert "given up" in node.run("deliveries", "give-up", "pacs", "--reason", "test").stdout
    assert [each["state"] for each in node.studies()] == ["done"]


@pytest.mark.slow
def test_what_a_destination_does_not_take_is_skipped_where_the_settings_say_so(
    start_picky: Callable[..., Picky], start_node: StartNode, exam_of: ExamOf
) -> None:
    """Nothing is parked for a workstation that is to get what it takes, and no more."""
    pacs = start_picky(MammographyCADSRStorage)
    node = start_node(pacs, options=[destination(pacs, documents=["summary", "cad"], not_accepted="skip")])
    send_to(node, [image.content for image in exam_of("A", 1, Laterality.RIGHT).images])
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")
    assert sorted(row["state"] for row in node.reports() if row["destination"]) == ["delivered", "given-up"]


def test_a_pacs_is_told_which_reports_are_superseded(start_picky: Callable[..., Picky], start_node: StartNode, exam_of: ExamOf) -> None:
    """By a rejection note, after the reports that take their place; it names what the PACS got, and coming back to us it does nothing."""
    pacs = start_picky(EnhancedSRStorage, KeyObjectSelectionDocumentStorage)
    node = start_node(pacs, options=[destination(pacs, documents=["summary", "rejection-note"])])
    *early, late = [image.content for image in exam_of("A", 1, Laterality.RIGHT).images]
    send_to(node, early)
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done")
    send_to(node, [late])
    wait_until(lambda: len(pacs.received) == 3, "the second report and the rejection note are there")
    first, second, note = (pydicom.dcmread(BytesIO(content)) for content in pacs.received)
    assert [each.SOPClassUID for each in (first, second, note)] == [EnhancedSRStorage, EnhancedSRStorage, KeyObjectSelectionDocumentStorage]
    assert evidence(note) == {first.SOPInstanceUID}
    wait_until(lambda: [study["state"] for study in node.studies()] == ["done"], "the study is done again")
    send_to(node, [pacs.received[-1]])  # every answer is Success
    wait_until(lambda: "object_ignored" in node.log.read_text(), "the note is ignored")
    assert "rejection_note_received" not in node.log.read_text()
    assert [study["state"] for study in node.studies()] == ["done"]
