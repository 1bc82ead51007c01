"""What a report repeats of an image's header, where the header has it in a form that can be used; None where it has not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, time
from typing import TypeVar

import numpy as np
from pydicom.dataset import Dataset

from dosremc_node.reporting.wording import plain

Kind = TypeVar("Kind")


def patient_orientation(header: Dataset) -> tuple[str, str] | None:
    """The directions of rows and columns, such as ``A`` and ``R``."""
    values = [plain(str(value)) for value in np.atleast_1d(header.get("PatientOrientation") or [])]
    return (values[0], values[1]) if len(values) == 2 and all(values) else None


def imager_pixel_spacing(header: Dataset) -> tuple[float, float] | None:
    """Row and column spacing in mm, or None where the header has no two positive numbers."""
    try:
        values = [float(value) for value in np.atleast_1d(header.get("ImagerPixelSpacing") or [])]
    except (TypeError, ValueError):
        return None
    return (values[0], values[1]) if len(values) == 2 and all(math.isfinite(value) and value > 0 for value in values) else None


def date_of(header: Dataset, keyword: str) -> date | None:
    """A date (VR DA)."""
    return _parsed(date.fromisoformat, r"\d{8}", header, keyword)


def time_of(header: Dataset, keyword: str) -> time | None:
    """A time (VR TM) to the second at least."""
    return _parsed(time.fromisoformat, r"\d{6}(\.\d{1,6})?", header, keyword)


def _parsed(parse: Callable[[str], Kind], form: str, header: Dataset, keyword: str) -> Kind | None:
    text = plain(str(header.get(keyword) or ""))
    try:
        return parse(text) if re.fullmatch(form, text) else None
    except ValueError:
        return None
