"""What is dispatched to a destination, and what is entered of it where something goes wrong on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.ledger import ASSESSMENT, at_once, held, image, plan
from pydicom.uid import EnhancedSRStorage

from dosremc_node import dispatch
from dosremc_node.artifacts import ArtifactKind
from dosremc_node.configuration import load
from dosremc_node.ledger.deliveries import documents_to_send, due_deliveries
from dosremc_node.ledger.overview import find_study
from dosremc_node.ledger.receiving import record_object
from dosremc_node.ledger.revisions import keep_assessment, keep_documents, open_revision
from dosremc_node.node import Node, open_node
from dosremc_node.records import DeliveryOutcome, Document, DocumentKind, Plan


def deliver_from(node: Node, *documents: Document) -> None:
    """Have the documents of a study due at the PACS."""

    def with_the_release_in_force(images: object) -> Plan:
        return replace(plan(images), release_id=node.release_in_force().release.release_id)

    record_object(node.ledger, *image(1), at_once)
    study_id = find_study(node.ledger, "1.2.3")
    assert study_id is not None
    revision = open_revision(node.ledger, study_id, with_the_release_in_force, datetime.now(UTC))
    assert revision is not None
    hold = held(node.ledger, revision)
    keep_assessment(node.ledger, hold, ASSESSMENT)
    kept = [(each, node.store.put(ArtifactKind.DOCUMENT, each.content)) for each in documents]
    keep_documents(node.ledger, hold, kept, [("pacs", tuple(DocumentKind))])


def test_what_was_taken_stays_taken_where_the_next_document_is_lost(
    tmp_path: Path, start_scp: Callable[..., Any], a_document: Callable[..., Document]
) -> None:
    """Promise 2: what the PACS has answered Success to is delivered, though the document behind it can no longer be read."""
    scp = start_scp(storage=(EnhancedSRStorage,))
    destination = f'{{name = "pacs", ae_title = "PACS", host = "127.0.0.1", port = {scp.port}, purpose = "test"}}'
    folders = [f"storage.folder={tmp_path}/artifacts", f"database.url=sqlite:///{tmp_path}/ledger.sqlite"]
    node = open_node(load(None, [*folders, f"destinations=[{destination}]"]))
    deliver_from(node, a_document(1), a_document(2))

    def store(_: object) -> int:
        for key in list(node.store.keys(ArtifactKind.DOCUMENT)):
            node.store.remove(key)
        return 0

    scp.store = store
    (due,) = due_deliveries(node.ledger, datetime.now(UTC))
    results = dispatch.answers(node, due, documents_to_send(node.ledger, due))
    now_due = [each.sop_instance_uid for each in documents_to_send(node.ledger, due)]
    assert {each.sop_instance_uid: each.outcome for each in results} == dict.fromkeys(now_due, DeliveryOutcome.REFUSED) | {
        results[0].sop_instance_uid: DeliveryOutcome.DELIVERED
    }
    assert len(results) == 2
    node.ledger.close()
