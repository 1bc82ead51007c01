"""The state machines of the ledger: what may follow what. A diagram of them stands in ARCHITECTURE.md.

A study has no state column of its own, so no two rows can contradict each other: what is shown follows from its deadline
(`due_at`), its revisions and their deliveries, by one rule in `overview`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from dosremc_node.errors import IllegalTransition


class Standing(StrEnum):
    """What a received instance is to its study (promise 4)."""

    PRIMARY = "primary"
    """The first instance under its UID: the one that is assessed."""
    CONTENDER = "contender"
    """Came later under the same UID with other bytes; not yet compared with the primary."""
    VARIANT = "variant"
    """Same pixels, other attributes or compression: kept, not assessed again."""
    QUARANTINED = "quarantined"
    """Other pixels under the same UID: kept, flagged, never merged."""
    WITHDRAWN = "withdrawn"
    """Was the primary until a rejection note named it: kept, not assessed any more."""


class RevisionState(StrEnum):
    ASSESSING = "assessing"
    DELIVERING = "delivering"
    DONE = "done"
    PARKED = "parked"


class DeliveryState(StrEnum):
    DUE = "due"
    UNCOMMITTED = "uncommitted"
    """The destination answered Success, and has yet to take responsibility for it (storage commitment)."""
    DELIVERED = "delivered"
    PARKED = "parked"
    GIVEN_UP = "given-up"
    """Not to be delivered any more: a person said so, or the destination's settings do of what it does not accept."""


class ProposalState(StrEnum):
    """How far a proposed change of a release has come."""

    PROPOSED = "proposed"
    REFUSED = "refused"
    """The gate, a person or its time in shadow refused it."""
    PASSED = "passed"
    """The gate let it pass; it waits for an approver."""
    SHADOW = "shadow"
    """The gate let it pass; it scores live exams without being shown, and then waits for an approver."""
    APPROVED = "approved"
    """Its release is being written and put in force."""
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled-back"
    WITHDRAWN = "withdrawn"
    """A newer one took its place, or what it would change is no longer in force."""


class StudyState(StrEnum):
    """What `status` shows of a study; see the module's docstring for how it follows from the rows."""

    RECEIVING = "receiving"
    ASSESSING = "assessing"
    DELIVERING = "delivering"
    DONE = "done"
    PARKED = "parked"


State = TypeVar("State", bound=StrEnum)

STANDINGS: Mapping[Standing, frozenset[Standing]] = {
    Standing.PRIMARY: frozenset({Standing.WITHDRAWN}),
    Standing.CONTENDER: frozenset({Standing.VARIANT, Standing.QUARANTINED}),
    Standing.VARIANT: frozenset(),
    Standing.QUARANTINED: frozenset(),
    Standing.WITHDRAWN: frozenset({Standing.PRIMARY}),
}

REVISIONS: Mapping[RevisionState, frozenset[RevisionState]] = {
    RevisionState.ASSESSING: frozenset({RevisionState.DELIVERING, RevisionState.PARKED}),
    RevisionState.DELIVERING: frozenset({RevisionState.DONE, RevisionState.PARKED}),
    RevisionState.PARKED: frozenset({RevisionState.ASSESSING, RevisionState.DELIVERING}),
    RevisionState.DONE: frozenset(),
}

DELIVERIES: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.DUE: frozenset({DeliveryState.UNCOMMITTED, DeliveryState.DELIVERED, DeliveryState.PARKED, DeliveryState.GIVEN_UP}),
    DeliveryState.UNCOMMITTED: frozenset({DeliveryState.DELIVERED, DeliveryState.DUE, DeliveryState.PARKED, DeliveryState.GIVEN_UP}),
    DeliveryState.PARKED: frozenset({DeliveryState.DUE, DeliveryState.DELIVERED, DeliveryState.GIVEN_UP}),
    DeliveryState.DELIVERED: frozenset(),
    DeliveryState.GIVEN_UP: frozenset(),
}

PROPOSALS: Mapping[ProposalState, frozenset[ProposalState]] = {
    ProposalState.PROPOSED: frozenset({ProposalState.REFUSED, ProposalState.PASSED}),
    ProposalState.PASSED: frozenset({ProposalState.SHADOW, ProposalState.APPROVED, ProposalState.REFUSED, ProposalState.WITHDRAWN}),
    ProposalState.SHADOW: frozenset({ProposalState.APPROVED, ProposalState.REFUSED, ProposalState.WITHDRAWN}),
    ProposalState.APPROVED: frozenset({ProposalState.PROMOTED, ProposalState.REFUSED, ProposalState.WITHDRAWN}),
    ProposalState.PROMOTED: frozenset({ProposalState.ROLLED_BACK}),
    ProposalState.REFUSED: frozenset(),
    ProposalState.ROLLED_BACK: frozenset(),
    ProposalState.WITHDRAWN: frozenset(),
}


def check_transition(machine: Mapping[State, frozenset[State]], subject: str, old: State, new: State) -> None:
    """Raise `IllegalTransition` where ``machine`` does not lead from ``old`` to ``new``."""
    if new not in machine[old]:
        raise IllegalTransition(subject=subject, old=old, new=new)
