"""The way back, in one step: the release that the one in force came from is in force again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dosremc_node.errors import NothingToRollBackTo
from dosremc_node.ledger import Ledger, proposals
from dosremc_node.ledger.proposals import Proposal
from dosremc_node.ledger.releases import release_in_force
from dosremc_node.releases.shelf import ReleaseShelf


def roll_back(
    ledger: Ledger, shelf: ReleaseShelf, *, actor: str, reason: str, now: datetime, to: str | None = None
) -> tuple[str, Sequence[Proposal]]:
    """Put the parent of the release in force back in force, or ``to``, from which it came; answers it and the proposals rolled back.

    The releases stay where they are, and the windows that brought them propose no more. Raises `NothingToRollBackTo`, `ReleaseDamaged`,
    `ReleaseChangedMeanwhile`.
    """
    in_force = release_in_force(ledger) or ""
    line = line_of(shelf, in_force)
    target = to or (line[1] if len(line) > 1 else "a parent")
    if target not in line[1:]:
        raise NothingToRollBackTo(release=in_force, to=target, known=", ".join(line[1:]) or "none")
    shelf.verify(target)
    undone = line[: line.index(target)]
    return target, proposals.roll_back(ledger, undone, target, actor=actor, reason=reason, now=now)


def line_of(shelf: ReleaseShelf, release_id: str) -> Sequence[str]:
    """A release, its parent, and so on, as far as they are on the shelf."""
    known, line, following = set(shelf.names()), list[str](), release_id
    while following in known:
        known.remove(following)
        line.append(following)
        following = shelf.load(following).release.parent or ""
    return line
