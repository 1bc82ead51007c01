"""What is known of the truth."""

from __future__ import annotations

from enum import StrEnum


class LabelState(StrEnum):
    """What is known of the truth. Pending is not negative (promise 11)."""

    PENDING = "pending"
    POSITIVE = "positive"
    CONFIRMED_NEGATIVE = "confirmed negative"
    UNKNOWN = "unknown"
