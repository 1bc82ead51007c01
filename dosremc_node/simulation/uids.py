"""DICOM UIDs and dates that follow from a seed, so that the same seed gives the same bytes."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from pydicom.uid import UID

NAMESPACE = uuid.UUID("6e1f5a4e-2d5b-5f0c-9a4e-9b1f0f6f7a11")
FIRST_DAY = datetime(2026, 1, 5, 8, 0, 0)  # noqa: DTZ001 - DICOM dates are local


def uid(*parts: object) -> UID:
    """The UID 2.25.<number> of these parts (DICOM PS3.5 B.2), by way of a name-based UUID."""
    return UID(f"2.25.{uuid.uuid5(NAMESPACE, '/'.join(str(part) for part in parts)).int}")


def moment(seed: int) -> datetime:
    """When the exam of ``seed`` took place."""
    return FIRST_DAY + timedelta(days=seed % 200, minutes=17 * (seed % 29))
