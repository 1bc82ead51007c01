"""Retention: the images of finished studies are removed by age and for want of space, never those that are still needed.

The ledger goes first: it says what is removed, and traces it, before a byte goes. What is left of a study afterwards is what
it was assessed with: rows and documents.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from dosremc_node.artifacts import ArtifactKind, ArtifactStore, content_key
from dosremc_node.ledger import images
from dosremc_node.node import Node
from dosremc_node.records import StudyId

_AT_ONCE = 100
_MEGABYTE = 1 << 20

log = structlog.get_logger(__name__)


def remove_old_images(node: Node, now: datetime) -> int:
    """Remove the images of studies that have been finished for longer than the settings say; answers of how many."""
    days = node.settings.storage.images_days
    if not days:
        return 0
    old = images.removable_studies(node.ledger, now - timedelta(days=days), _AT_ONCE)
    return sum(_remove(node, study_id, now, "age") for study_id in old)


def make_room(node: Node, now: datetime) -> int:
    """Remove the images that have been there longest until as much space is free as the settings say; answers of how many studies."""
    removed = 0
    while _lacks_room(node) and (longest := images.removable_studies(node.ledger, now, 1)):
        if not _remove(node, longest[0], now, "space"):
            break
        removed += 1
    return removed


def _lacks_room(node: Node) -> bool:
    return node.store.free_bytes() < node.settings.storage.images_free_megabytes * _MEGABYTE


def _remove(node: Node, study_id: StudyId, now: datetime, why: str) -> bool:
    what = images.mark_removed(node.ledger, study_id, now, why)
    if what is None:
        return False
    remove_bytes(node, what.sha256)
    for key in what.saliency_keys:
        node.store.remove(key)
    log.info("images_removed", study=study_id, images=len(what.sha256), megabytes=what.size // _MEGABYTE, why=why)
    return True


def remove_bytes(node: Node, sha256: tuple[str, ...]) -> None:
    """Take images that the ledger has as removed from the artifacts, and their network inputs; what has come again stays."""
    with images.removed(node.ledger, sha256) as digests:
        for digest in digests:
            node.store.remove(content_key(ArtifactKind.IMAGE, digest))
            _remove_inputs(node.store, digest)


def _remove_inputs(store: ArtifactStore, sha256: str) -> None:
    for key in list(store.keys(ArtifactKind.INPUT, of=sha256)):
        store.remove(key)
