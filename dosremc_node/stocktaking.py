"""Stocktaking: at each start of a worker the images among the artifacts are compared with the ledger's rows.

* A file without a row is what a crash left between the two, or what a restored ledger does not know yet: it is entered like an
  image that has just arrived, or removed where it would have been refused.
* A file whose row says that it was removed is what a crash left of a removal: it goes.
* A row without a file is entered as missing, where `status`, `doctor` and the metrics show it, until the image is sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import structlog

from dosremc_node import studies, workflow
from dosremc_node.artifacts import ArtifactKind, content_key, parse_key
from dosremc_node.errors import NotDicom
from dosremc_node.failures import describe
from dosremc_node.ledger import images
from dosremc_node.node import Node
from dosremc_node.records import ReceivedObject
from dosremc_node.retention import remove_bytes

_BATCH = 500

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Stock:
    """What was found: images entered, leftovers removed, and images that are missing."""

    entered: int = 0
    removed: int = 0
    missing: int = 0


def take_stock(node: Node) -> Stock:
    """Make files and rows agree, as far as a program can, and report what it cannot."""
    stock = Stock()
    _look_for_files(node, stock)
    _look_for_rows(node, stock)
    level = "warning" if stock.missing else "info"
    getattr(log, level)("stock_taken", entered=stock.entered, removed=stock.removed, missing=stock.missing)
    return stock


def _look_for_files(node: Node, stock: Stock) -> None:
    """Of every image that the ledger has as kept. Rows first, files second: an image gets its file before its row."""
    after = 0
    while rows := images.kept_images(node.ledger, after, _BATCH):
        after = rows[-1][0]
        there = {number: node.store.exists(content_key(ArtifactKind.IMAGE, digest)) for number, digest in rows}
        found, missing = ([number for number, is_there in there.items() if is_there is wanted] for wanted in (True, False))
        for study_id in images.enter_stock(node.ledger, found, missing, datetime.now(UTC)):
            log.error("images_missing", study=study_id)
        stock.missing += len(missing)


def _look_for_rows(node: Node, stock: Stock) -> None:
    for digests in _batches(parse_key(key)[1] for key in node.store.keys(ArtifactKind.IMAGE)):
        known = images.known_digests(node.ledger, digests)
        leftovers = tuple(digest for digest in digests if known.get(digest))
        if leftovers:
            remove_bytes(node, leftovers)
            stock.removed += len(leftovers)
        for digest in digests:
            if digest not in known:
                _settle(node, digest, stock)


def _settle(node: Node, sha256: str, stock: Stock) -> None:
    """Enter a file without a row, or remove it where it would have been refused."""
    key = content_key(ArtifactKind.IMAGE, sha256)
    try:
        workflow.receive(node, _as_received(node, key, sha256))
        stock.entered += 1
    except NotDicom:
        node.store.remove(key)
        stock.removed += 1
    except Exception as error:  # noqa: BLE001 - the boundary: one file that nobody can make sense of hides no other
        log.error("file_without_row", sha256=sha256[:12], reason=describe(error))  # noqa: TRY400 - a traceback could quote a patient


def _as_received(node: Node, key: str, sha256: str) -> ReceivedObject:
    """The object as if it had just arrived; who sent it, and how, is not known any more."""
    with node.store.local(key) as path:
        header = studies.read_header(path)
        return ReceivedObject(
            sha256=sha256,
            size=path.stat().st_size,
            sop_class_uid=header.sop_class_uid,
            sop_instance_uid=header.sop_instance_uid,
            transfer_syntax_uid="",
            calling_ae_title="",
            peer_address="",
            received_at=datetime.now(UTC),
        )


def _batches(digests: Iterable[str]) -> Iterator[tuple[str, ...]]:
    remaining = iter(digests)
    while batch := tuple(islice(remaining, _BATCH)):
        yield batch
