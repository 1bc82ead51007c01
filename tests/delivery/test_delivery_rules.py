"""Who may be spoken to, when again, and what each status means."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosremc_node.delivery import backoff, refuse_clinical_use
from dosremc_node.delivery.statuses import MEANINGS, outcome_of, words_of
from dosremc_node.errors import DemonstrationOnly
from dosremc_node.records import DeliveryOutcome, PreprocessingSpec, Release
from dosremc_node.settings import Destination, Purpose


def longest(low: float, high: float) -> float:
    return high


def test_backoff_doubles_up_to_the_limit() -> None:
    """Without jitter the waits double from the first, and stop growing at the limit."""
    assert [backoff(attempt, 5.0, 60.0, longest) for attempt in range(1, 7)] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


@given(st.integers(1, 10**6), st.floats(0.001, 1e3), st.floats(0.001, 1e6))
def test_backoff_stays_in_its_bounds(attempt: int, first: float, at_most: float) -> None:
    """However often a document has failed, the wait is neither negative nor above the limit."""
    assert 0 <= backoff(attempt, first, at_most) <= at_most


def release(*, demonstration: bool) -> Release:
    spec = PreprocessingSpec(8, 8, "", "", "")
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Release("r1", None, "", "", spec, "", {}, {}, "2.25.1", moment, "", demonstration, "")


@pytest.mark.parametrize(("demonstration", "purpose"), [(True, Purpose.TEST), (False, Purpose.TEST), (False, Purpose.CLINICAL)])
def test_other_pairs_may_speak(demonstration: bool, purpose: Purpose) -> None:
    """A release with evidence may speak to anybody, demonstration weights to a test destination."""
    refuse_clinical_use(release(demonstration=demonstration), Destination(name="a", ae_title="A", host="h", port=1, purpose=purpose))


def test_demonstration_weights_refuse_a_clinical_destination() -> None:
    """Promise 14: a destination is clinical unless it is marked as a test one, and then demonstration weights do not speak to it."""
    with pytest.raises(DemonstrationOnly, match=r"r1.*pacs"):
        refuse_clinical_use(release(demonstration=True), Destination(name="pacs", ae_title="A", host="h", port=1))


@given(st.integers(0, 0xFFFF))
def test_success_and_warnings_alone_are_delivered(status: int) -> None:
    """Of all 65536 statuses only Success and the warning classes of PS3.7 Annex C count as delivered."""
    warning = status in (0x0001, 0x0107, 0x0116) or 0xB000 <= status <= 0xBFFF
    assert (outcome_of(status) is DeliveryOutcome.DELIVERED) == (status == 0 or warning)
    assert f"0x{status:04X}" in words_of(status)


def test_exact_rows_stand_before_the_classes() -> None:
    """A row that a wider one before it hides would be dead."""
    seen: set[int] = set()
    for codes, _, _ in MEANINGS:
        assert not set(codes) <= seen
        seen |= set(codes)
