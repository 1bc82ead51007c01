"""The grey scale that an image asks for, repeated in a presentation state, which takes its place (PS3.4 N.2)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from dosremc_node.reporting.wording import plain

GREY_SCALE_KEYWORDS: Final = (
    "PhotometricInterpretation",
    "PixelRepresentation",
    "PresentationLUTShape",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "VOILUTFunction",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
)
MOST_ENTRIES: Final = 0x10000
"""Which a descriptor writes as 0."""
VOI_LUT_FUNCTIONS: Final = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def repeat_grey_scale(header: Dataset, state: Dataset) -> None:
    """Give ``state`` the rescaling, the first window or else the first VOI LUT, and the polarity of the image with ``header``.

    What the header has in no valid form is left out: a viewer then shows the whole range of values.
    """
    slope, intercept = _number(header, "RescaleSlope"), _number(header, "RescaleIntercept")
    if slope and intercept is not None:
        state.RescaleSlope, state.RescaleIntercept = slope, intercept
        state.RescaleType = _text(header, "RescaleType") or "US"
    if voi := _window(header) or _voi_lut(header):
        state.SoftcopyVOILUTSequence = [voi]
    state.PresentationLUTShape = _polarity(header)


def _polarity(header: Dataset) -> str:
    shape = _text(header, "PresentationLUTShape")
    if shape in ("IDENTITY", "INVERSE"):
        return shape
    return "INVERSE" if _text(header, "PhotometricInterpretation") == "MONOCHROME1" else "IDENTITY"


def _window(header: Dataset) -> Dataset | None:
    centre, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    if centre is None or width is None or width < 1:
        return None
    voi = Dataset()
    voi.WindowCenter, voi.WindowWidth = centre, width
    if (function := _text(header, "VOILUTFunction")) in VOI_LUT_FUNCTIONS:
        voi.VOILUTFunction = function
    return voi


def _voi_lut(header: Dataset) -> Dataset | None:
    """The first table, its values spread over 16 bits: images may have any number of bits there, a presentation state 8 or 16."""
    try:
        lut = header.VOILUTSequence[0]
        entries, first, bits = (int(value) for value in lut.LUTDescriptor)
        values = _entries(lut.LUTData, entries % MOST_ENTRIES or MOST_ENTRIES)
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
    if not 8 <= bits <= 16:
        return None
    spread = np.clip(np.rint(values * (0xFFFF / (2**bits - 1))), 0, 0xFFFF).astype("<u2")
    item, voi = Dataset(), Dataset()
    # Explicitly unsigned or not: without the image beside it, a writer could not tell.
    item.add_new(
        "LUTDescriptor", "SS" if first < 0 else "US", [_signed(len(values)) if first < 0 else len(values) % MOST_ENTRIES, first, 16]
    )
    item.add_new("LUTData", "OW", spread.tobytes())
    voi.VOILUTSequence = [item]
    return voi


def _entries(data: object, count: int) -> NDArray[np.float64]:
    """The values of a table, whose reader gives numbers or, in words or bytes, the bytes of the file; `ValueError` for another count."""
    if isinstance(data, bytes):
        data = np.frombuffer(data, "<u2" if len(data) >= 2 * count else "u1")[:count]
    values = np.atleast_1d(np.asarray(data, dtype=np.float64))
    if values.shape != (count,):
        raise ValueError("another number of entries than the descriptor says")
    return values


def _signed(word: int) -> int:
    word %= MOST_ENTRIES
    return word - MOST_ENTRIES if word > 0x7FFF else word


def _number(header: Dataset, keyword: str) -> DSfloat | None:
    """The first value of a decimal string, in no more characters than it may have."""
    try:
        values = [float(value) for value in np.atleast_1d(header.get(keyword))]
    except (TypeError, ValueError):
        return None
    return DSfloat(values[0], auto_format=True) if values and math.isfinite(values[0]) else None


def _text(header: Dataset, keyword: str) -> str:
    return plain(str(header.get(keyword) or ""))
