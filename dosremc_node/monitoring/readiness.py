"""Whether the node can take work: its ledger takes rows, and there is room for images."""

from __future__ import annotations

from sqlalchemy import text

from dosremc_node.artifacts import ArtifactStore
from dosremc_node.errors import LedgerUnavailable
from dosremc_node.ledger import Ledger

_MEGABYTE = 1 << 20


def why_not_ready(ledger: Ledger, store: ArtifactStore, keep_free_bytes: int) -> str | None:
    """What keeps new images out just now, in words; None where nothing does."""
    try:
        with ledger.transaction() as session:
            session.execute(text("SELECT 1"))
        free = store.free_bytes()
    except (LedgerUnavailable, OSError) as error:
        return f"the ledger or the store does not answer ({type(error).__name__})"
    if free < keep_free_bytes:
        return f"only {free // _MEGABYTE} MB are free, new images are refused below {keep_free_bytes // _MEGABYTE} MB"
    return None
