"""Storage commitment: asked for with a transaction UID of its own, answered on either association."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel

from dosremc_node.artifacts import open_store
from dosremc_node.delivery import ask_commitment, commitment_results, new_transaction_uid, send
from dosremc_node.errors import LedgerUnavailable
from dosremc_node.reception import Receiver
from dosremc_node.records import CommitmentReport, DeliveryOutcome, Document
from dosremc_node.reporting import rendition
from dosremc_node.settings import ReceptionSettings, StorageSettings
from dosremc_node.simulation.pacs import Orthanc, orthanc_program

PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
Reports = Queue[CommitmentReport]


@pytest.fixture
def reports() -> Reports:
    return Queue()


@pytest.fixture
def listener(tmp_path: Path, free_port: int, reports: Reports) -> Iterator[Receiver]:
    """The node's own listener, as a PACS calls it back."""

    def accept(_: object) -> None:
        pytest.fail("nothing is stored here")

    receiver = Receiver(
        ReceptionSettings(port=free_port), "NODE", open_store(StorageSettings(folder=tmp_path / "store")), accept, reports.put
    )
    receiver.start()
    yield receiver
    receiver.stop()


class CommittingPacs:
    """A storage commitment SCP that reports as a test tells it to."""

    def __init__(self, *, fails: tuple[str, ...] = (), status: int = 0, call_back: int | None = None) -> None:
        self.fails, self.status, self.call_back = fails, status, call_back
        self.transactions: list[str] = []
        self.answers: Queue[int | None] = Queue()

    def on_action(self, event: Any) -> tuple[int, None]:
        self.asked = event.action_information
        self.transactions.append(str(self.asked.TransactionUID))
        return self.status, None

    def on_ended(self, _: Any) -> None:
        """A report on an association of our own, once theirs is released."""
        if self.call_back:
            entity = AE(ae_title="PACS")
            entity.add_requested_context(StorageCommitmentPushModel)
            role = build_role(StorageCommitmentPushModel, scp_role=True)
            association = entity.associate("127.0.0.1", self.call_back, ae_title="NODE", ext_neg=[role])
            self.report_on(association)
            association.release()

    def report_on(self, association: Any, transaction_uid: str = "") -> None:
        information = Dataset()
        information.TransactionUID = transaction_uid or self.asked.TransactionUID
        failed = [each for each in self.asked.ReferencedSOPSequence if each.ReferencedSOPInstanceUID in self.fails]
        information.ReferencedSOPSequence = [each for each in self.asked.ReferencedSOPSequence if each not in failed]
        for each in failed:
            each.FailureReason = 0x0112
        if failed:
            information.FailedSOPSequence = failed
        answer, _ = association.send_n_event_report(information, 2 if failed else 1, StorageCommitmentPushModel, PUSH_MODEL_INSTANCE)
        self.answers.put(answer.get("Status"))


@pytest.fixture
def start_committing_pacs(start_scp: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """A function that starts a `CommittingPacs` and gives it with the destination that it is."""
    servers = []

    def start(**behaviour: Any) -> tuple[CommittingPacs, Any]:
        pacs, entity = CommittingPacs(**behaviour), AE(ae_title="PACS")
        entity.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_N_ACTION, pacs.on_action), (evt.EVT_RELEASED, pacs.on_ended)]
        if pacs.call_back is None:
            handlers.append((evt.EVT_DIMSE_SENT, lambda event: _report_at_once(pacs, event)))
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        servers.append(server)
        return pacs, start_scp().destination(port=server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()


def _report_at_once(pacs: CommittingPacs, event: Any) -> None:
    """On the same association, as soon as the request is answered."""
    if type(event.message).__name__ == "N_ACTION_RSP" and pacs.status == 0:
        threading.Thread(target=pacs.report_on, args=(event.assoc,), daemon=True).start()


INSTANCES = [(str(ComprehensiveSRStorage), "2.25.1"), (str(ComprehensiveSRStorage), "2.25.2")]


def test_report_on_the_same_association(start_committing_pacs: Callable[..., Any], reports: Reports) -> None:
    """A PACS that reports before we release is heard, and hears Success once the report is entered."""
    pacs, destination = start_committing_pacs()
    uid = new_transaction_uid()
    result = ask_commitment(destination, "NODE", uid, INSTANCES, reports.put)
    assert result.outcome is DeliveryOutcome.DELIVERED
    assert reports.get(timeout=10) == CommitmentReport(uid, ("2.25.1", "2.25.2"), ())
    assert pacs.answers.get(timeout=10) == 0


def test_report_on_an_association_that_the_pacs_opens(
    start_committing_pacs: Callable[..., Any], listener: Receiver, reports: Reports
) -> None:
    """The only way that the standard guarantees: role selection makes the caller the SCP; failures come with their reason."""
    pacs, destination = start_committing_pacs(call_back=listener.port, fails=("2.25.2",))
    uid = new_transaction_uid()
    assert ask_commitment(destination, "NODE", uid, INSTANCES, reports.put).outcome is DeliveryOutcome.DELIVERED
    report = reports.get(timeout=10)
    assert report == CommitmentReport(uid, ("2.25.1",), (("2.25.2", 0x0112),))
    assert pacs.answers.get(timeout=10) == 0
    outcomes = {result.sop_instance_uid: (result.outcome, result.status) for result in commitment_results(report)}
    assert outcomes == {"2.25.1": (DeliveryOutcome.DELIVERED, 0), "2.25.2": (DeliveryOutcome.RETRY, 0x0112)}


def test_report_that_cannot_be_entered_is_to_come_again(start_committing_pacs: Callable[..., Any]) -> None:
    """While the ledger is away the PACS hears a failure, never Success."""

    def unavailable(_: CommitmentReport) -> None:
        raise LedgerUnavailable(why="test")

    pacs, destination = start_committing_pacs()
    ask_commitment(destination, "NODE", new_transaction_uid(), INSTANCES, unavailable)
    assert pacs.answers.get(timeout=10) == 0x0110


@pytest.mark.parametrize(("status", "outcome"), [(0x0110, DeliveryOutcome.RETRY), (0x0122, DeliveryOutcome.REFUSED)])
def test_request_that_is_refused(
    start_committing_pacs: Callable[..., Any], reports: Reports, status: int, outcome: DeliveryOutcome
) -> None:
    """The answer to the request itself is read, too."""
    _, destination = start_committing_pacs(status=status)
    result = ask_commitment(destination, "NODE", new_transaction_uid(), INSTANCES, reports.put)
    assert (result.outcome, result.status) == (outcome, status)


def test_pacs_without_the_service(start_scp: Callable[..., Any], reports: Reports) -> None:
    """A PACS that offers no storage commitment is a matter for the administrator, in words."""
    result = ask_commitment(start_scp().destination(), "NODE", new_transaction_uid(), INSTANCES, reports.put)
    assert result.outcome is DeliveryOutcome.REFUSED
    assert "Storage commitment" in result.comment


def test_orthanc_commits_to_what_it_has_and_to_nothing_else(
    tmp_path: Path, start_scp: Callable[..., Any], a_document: Callable[..., Document], listener: Receiver, reports: Reports
) -> None:
    """Against a real PACS: success for what it stored, 0x0112 for what it never saw, each request under its own transaction UID."""
    if orthanc_program() is None:
        pytest.skip("Orthanc is not installed")
    with Orthanc(tmp_path / "orthanc") as pacs:
        pacs.knows("NODE", listener.port)
        destination, document = start_scp().destination(port=pacs.port, ae_title="ORTHANC"), a_document(1)
        list(send(destination, "NODE", [document], rendition))
        stored, missing = (document.sop_class_uid, document.sop_instance_uid), (document.sop_class_uid, "2.25.9")
        for asked, committed, failed in (
            ([stored], (stored[1],), ()),
            ([stored, missing], (stored[1],), (("2.25.9", 0x0112),)),
        ):
            uid = new_transaction_uid()
            result = ask_commitment(destination, "NODE", uid, asked, reports.put)
            assert result.outcome is DeliveryOutcome.DELIVERED, result.comment
            assert reports.get(timeout=20) == CommitmentReport(uid, committed, failed)
