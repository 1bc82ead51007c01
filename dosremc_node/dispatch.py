"""Documents on their way to one destination: as what it wants them, by the way that it is reached on, and when again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from dosremc_node import delivery, reporting
from dosremc_node.artifacts import ArtifactKind
from dosremc_node.errors import LedgerUnavailable, NodeError, NoSuchDestination
from dosremc_node.failures import describe
from dosremc_node.ledger import commitments, deliveries, revisions, superseding
from dosremc_node.ledger.commitments import DueCommitment
from dosremc_node.ledger.deliveries import DocumentToSend, DueDelivery
from dosremc_node.node import Node
from dosremc_node.records import (
    CommitmentReport,
    DeliveryOutcome,
    DeliveryResult,
    Document,
    DocumentFile,
    DocumentKind,
    PredecessorDocument,
    Release,
)
from dosremc_node.settings import Destination, Settings

_REQUESTS_IN_TIME = 4
"""How often commitment is asked for before its time is over, where no report comes."""

_AFTER_A_CRASH = timedelta(minutes=15)
"""When commitment is asked for again where we went down while asking."""

log = structlog.get_logger(__name__)


def answers(node: Node, due: DueDelivery, documents: Sequence[DocumentToSend]) -> Sequence[DeliveryResult]:
    """Send the documents that are due; what the destination answers to each, or why it could not be sent.

    What it has taken stays taken, whatever happens to the document behind that.
    """
    results: list[DeliveryResult] = []
    try:
        for result in _answers(node, due, documents):
            results.append(result)  # noqa: PERF402 - one by one
    except LedgerUnavailable:
        raise
    except NodeError as error:
        outcome, why = DeliveryOutcome.REFUSED, str(error)
    except Exception as error:  # noqa: BLE001 - the boundary: it counts as a try, so that the limit parks it
        outcome, why = DeliveryOutcome.RETRY, describe(error)
    else:
        return results
    log.warning("delivery_failed", study=due.study_id, revision=due.number, destination=due.destination, reason=why)
    # By now some may be due as renditions.
    answered, left = {result.sop_instance_uid for result in results}, deliveries.documents_to_send(node.ledger, due)
    return [
        *results,
        *(DeliveryResult(each.sop_instance_uid, outcome, None, why) for each in left if each.sop_instance_uid not in answered),
    ]


def _answers(node: Node, due: DueDelivery, documents: Sequence[DocumentToSend]) -> Iterator[DeliveryResult]:
    destination = node.settings.destination(due.destination)
    delivery.refuse_clinical_use(_release_of(node, due), destination)
    wanted = [(each, _as_wanted(node, due, destination, each)) for each in documents]
    yield from (_not_needed(each) for each, file in wanted if file is None)
    if files := [file for _, file in wanted if file]:
        yield from delivery.send(destination, node.settings.node.ae_title, files, partial(_under_another_class, node, due, destination))


def _release_of(node: Node, due: DueDelivery) -> Release:
    revision = revisions.get_revision(node.ledger, due.study_id, due.number)
    return node.shelf.load(revision.plan.release_id).release


def _not_needed(note: DocumentToSend) -> DeliveryResult:
    return DeliveryResult(
        note.sop_instance_uid, DeliveryOutcome.SKIPPED, None, "It holds no superseded document that this note could reject"
    )


def _as_wanted(node: Node, due: DueDelivery, destination: Destination, document: DocumentToSend) -> DocumentFile | None:
    """The document, from the maker that the destination wants to read; a rejection note of what it holds, None where that is nothing."""
    if document.kind is DocumentKind.REJECTION_NOTE:
        held = superseding.superseded_documents(node.ledger, due.study_id, due.number, due.destination)
        return _file(node, _naming(node, due, document, held)) if held else None
    if document.kind is DocumentKind.CAD:
        document = _instead(node, due, destination, document.sop_instance_uid, document.sop_class_uid)
    return _file(node, document)


def _under_another_class(
    node: Node, due: DueDelivery, destination: Destination, document: delivery.Sendable, sop_class_uid: str
) -> DocumentFile:
    return _file(node, _instead(node, due, destination, document.sop_instance_uid, sop_class_uid))


def _instead(node: Node, due: DueDelivery, destination: Destination, sop_instance_uid: str, sop_class_uid: str) -> DocumentToSend:
    """The document under ``sop_class_uid`` and for this destination: the original where nothing differs, else a rendition kept before
    its first send (promise 4).
    """
    original = deliveries.original_of(node.ledger, sop_instance_uid)
    manufacturer, model = _maker(destination, original.kind)
    if original.sop_class_uid == sop_class_uid and not manufacturer and not model:
        if original.sop_instance_uid == sop_instance_uid:
            return original
        return deliveries.send_instead(node.ledger, due, sop_instance_uid, original, original.artifact_key)
    rendition = reporting.rendition(_document(node, original), sop_class_uid, manufacturer, model)
    key = node.store.put(ArtifactKind.DOCUMENT, rendition.content)
    return deliveries.send_instead(node.ledger, due, sop_instance_uid, rendition, key)


def _naming(node: Node, due: DueDelivery, document: DocumentToSend, held: Sequence[PredecessorDocument]) -> DocumentToSend:
    """The rejection note that names what the destination holds, kept before its first send (promise 4)."""
    original = deliveries.original_of(node.ledger, document.sop_instance_uid)
    note = reporting.naming(_document(node, original), held)
    if note.sop_instance_uid == document.sop_instance_uid:
        return document
    return deliveries.send_instead(node.ledger, due, document.sop_instance_uid, note, node.store.put(ArtifactKind.DOCUMENT, note.content))


def _maker(destination: Destination, kind: DocumentKind) -> tuple[str, str]:
    return (destination.cad_manufacturer, destination.cad_model) if kind is DocumentKind.CAD else ("", "")


def _document(node: Node, kept: DocumentToSend) -> Document:
    uids = (kept.sop_class_uid, kept.sop_instance_uid, kept.series_instance_uid)
    return Document(kept.kind, *uids, kept.description, node.store.read(kept.artifact_key))


def _file(node: Node, kept: DocumentToSend) -> DocumentFile:
    return DocumentFile(kept.sop_class_uid, kept.sop_instance_uid, node.store.read(kept.artifact_key))


def next_try(settings: Settings, name: str, attempts: int) -> datetime | None:
    """When to try again after so many attempts; None where it was tried often enough, or where there is no such destination any more."""
    destination = next((each for each in settings.destinations if each.name == name), None)
    if destination is None or attempts >= destination.attempts:
        return None
    wait = delivery.backoff(attempts, destination.retry_seconds, destination.retry_seconds_at_most)
    return datetime.now(UTC) + timedelta(seconds=wait)


# --- Storage commitment -----------------------------------------------------------------------------------------------


def commit_by(settings: Settings, name: str, now: datetime) -> datetime | None:
    """Until when a destination has to commit to what it stores now; None where it need not."""
    destination = next((each for each in settings.destinations if each.name == name), None)
    return now + timedelta(hours=destination.commitment_hours) if destination and destination.commitment else None


def ask_commitment(node: Node, due: DueCommitment) -> None:
    """Ask a destination to commit to what it stored of a revision, under a transaction UID of its own."""
    transaction_uid, now = delivery.new_transaction_uid(), datetime.now(UTC)
    instances = commitments.open_request(node.ledger, due, transaction_uid, now, now + _AFTER_A_CRASH)
    if not instances:  # another process was faster, or everything is answered
        return
    try:
        destination = node.settings.destination(due.destination)
        report = partial(enter_report, node)
        result = delivery.ask_commitment(destination, node.settings.node.ae_title, transaction_uid, instances, report)
        again_at = _ask_again(destination, result, due.asked + 1)
    except NoSuchDestination as error:
        result, again_at = DeliveryResult(transaction_uid, DeliveryOutcome.REFUSED, None, str(error)), now
    commitments.keep_request(node.ledger, transaction_uid, result, again_at)
    log.info(
        "commitment_requested",
        study=due.study_id,
        revision=due.number,
        destination=due.destination,
        outcome=result.outcome,
        status=result.status,
    )


def _ask_again(destination: Destination, result: DeliveryResult, asked: int) -> datetime:
    seconds = destination.commitment_hours * 3600 / _REQUESTS_IN_TIME
    if result.outcome is not DeliveryOutcome.DELIVERED:
        seconds = delivery.backoff(asked, destination.retry_seconds, destination.retry_seconds_at_most)
    return datetime.now(UTC) + timedelta(seconds=seconds)


def enter_report(node: Node, report: CommitmentReport) -> None:
    """Enter what a destination reports, on whichever association; it hears Success once this returns.

    So it does of a transaction that we know nothing of: it would only report that again and again.
    """
    results, retry = delivery.commitment_results(report), partial(next_try, node.settings)
    known = commitments.keep_report(node.ledger, report.transaction_uid, results, retry, datetime.now(UTC))
    event = "commitment_reported" if known else "commitment_of_unknown_transaction"
    log.info(event, committed=len(report.committed), failed=len(report.failed))
