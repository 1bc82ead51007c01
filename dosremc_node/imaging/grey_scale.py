"""From stored values to grey as the vendor meant it: the DICOM grey scale pipeline as one table.

Because a stored value has at most 16 bits, the whole pipeline (PS3.4 N.2) is worked out once for every possible value, and an
image then costs one table look-up a pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dosremc_node.errors import UndecodableImage
from dosremc_node.imaging.decoders import StoredValues

GREY_SCALE = "VOI: first LUT, else first window, else minimum to maximum; padding black; breast bright"
"""What this file does, as the preprocessing specification names it.

DICOM leaves open which of several VOI transformations is shown first. The first VOI LUT is taken where there is one, since vendors
who send both make the windows to resemble it; else the first window with its VOI LUT Function; else everything from the smallest to
the largest value that is no padding.
"""

_Curve = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class GreyScale:
    """One entry for each stored value, taken as an unsigned integer of the same bits.

    ``table`` is its grey, float32 in 0 (air) to 1 (dense); ``padding`` is True for values that only fill the image up.
    """

    table: NDArray[np.float32]
    padding: NDArray[np.bool_]

    def apply(self, stored: StoredValues) -> NDArray[np.float32]:
        """Grey, float32 in 0..1, of the shape of ``stored``."""
        return np.asarray(cv2.LUT(_unsigned(stored), self.table), dtype=np.float32)

    def is_padding(self, stored: StoredValues) -> NDArray[np.bool_]:
        return np.take(self.padding, _unsigned(stored))


def grey_scale(dataset: Dataset, stored: StoredValues) -> GreyScale:
    """The grey scale pipeline of an image: modality LUT or rescale (PS3.3 C.11.1), VOI LUT or window (C.11.2), polarity (C.7.6.3.1.2,
    C.11.6). ``stored`` is needed where the header has no VOI transformation. Raises `UndecodableImage` for values of more than 16 bits.
    """
    if stored.dtype.itemsize > 2:
        raise UndecodableImage(transfer_syntax="any", why="its values have more than 16 bits")
    values = np.arange(2 ** (8 * stored.dtype.itemsize)).astype(stored.dtype).astype(np.float64)
    padding = _padding(dataset, values)
    modality = _modality(dataset, values)
    grey = _voi(dataset, modality)
    if grey is None:
        grey = _stretched(modality, _present(stored, padding))
    if _is_inverse(dataset):
        grey = 1.0 - grey
    grey[padding] = 0.0
    return GreyScale(grey.astype(np.float32), padding)


def _unsigned(stored: StoredValues) -> NDArray[Any]:
    return np.ascontiguousarray(stored).view(np.dtype(f"u{stored.dtype.itemsize}"))


def _number(dataset: Dataset, keyword: str) -> float | None:
    """The first value of a number of the header; None where it is missing or no number."""
    try:
        value = dataset.get(keyword)
        first = value[0] if isinstance(value, (list, tuple)) or hasattr(value, "append") else value
        number = float(first)
    except (TypeError, ValueError, IndexError, AttributeError, NotImplementedError):
        return None
    return number if math.isfinite(number) else None


def _first_item(dataset: Dataset, keyword: str) -> Dataset | None:
    try:
        return dataset[keyword].value[0]  # type: ignore[no-any-return]
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, NotImplementedError):
        return None


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        return str(dataset.get(keyword) or "").strip().upper()
    except (TypeError, ValueError, AttributeError, NotImplementedError):
        return ""


def _padding(dataset: Dataset, values: _Curve) -> NDArray[np.bool_]:
    """Which stored values are padding: Pixel Padding Value, up or down to Pixel Padding Range Limit (PS3.3 C.7.5.1.1.2)."""
    first = _number(dataset, "PixelPaddingValue")
    if first is None:
        return np.zeros(values.size, dtype=np.bool_)
    limit = _number(dataset, "PixelPaddingRangeLimit")
    first, last = (_as_stored(number, values) for number in (first, first if limit is None else limit))
    return (values >= min(first, last)) & (values <= max(first, last))


def _as_stored(number: float, values: _Curve) -> float:
    """A value of the header under the sign of the stored ones: where Pixel Representation is misread it comes as the other kind."""
    span = float(values.size)
    if number > values.max():
        return number - span
    return number + span if number < values.min() else number


def _modality(dataset: Dataset, values: _Curve) -> _Curve:
    item = _first_item(dataset, "ModalityLUTSequence")
    if item is not None and (table := _lut(item)) is not None:
        return _look_up(table, values)
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    return values * (slope or 1.0) + (intercept or 0.0)


def _present(stored: StoredValues, padding: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The table indices of the values that occur in the image, padding left out."""
    counts = cv2.calcHist([_unsigned(stored)], [0], None, [padding.size], [0.0, float(padding.size)])
    occurs = np.ravel(counts) > 0
    present = np.flatnonzero(occurs & ~padding)
    return present if present.size else np.flatnonzero(occurs)


def _voi(dataset: Dataset, modality: _Curve) -> _Curve | None:
    item = _first_item(dataset, "VOILUTSequence")
    if item is not None and (table := _lut(item)) is not None:
        return _look_up(table, modality) / table.highest
    centre, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    if centre is not None and width is not None and width > 0:
        return _window(_text(dataset, "VOILUTFunction"), modality, centre, width)
    return None


def _stretched(modality: _Curve, present: NDArray[np.intp]) -> _Curve:
    low, high = modality[present].min(), modality[present].max()
    return np.asarray(np.clip((modality - low) / max(high - low, 1e-9), 0.0, 1.0))


def _window(function: str, values: _Curve, centre: float, width: float) -> _Curve:
    """A window's output in 0..1 (PS3.3 C.11.2.1.2 and C.11.2.1.3); an unknown function counts as LINEAR."""
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -50.0, 50.0)))
    if function == "LINEAR_EXACT" or width < 1:
        return np.clip((values - centre) / width + 0.5, 0.0, 1.0)
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Lut:
    entries: _Curve
    first: float
    highest: float


def _lut(item: Dataset) -> _Lut | None:
    """A LUT of the header (PS3.3 C.11.1.1); None where descriptor and data do not fit together."""
    try:
        count, first, bits = (int(number) for number in item["LUTDescriptor"].value)
        data = item["LUTData"].value
    except (KeyError, TypeError, ValueError, AttributeError, NotImplementedError):
        return None
    count = count or 65536
    entries = _entries(data, count)
    if entries is None or not 1 <= bits <= 16:
        return None
    # Some vendors announce fewer bits than the entries have: the entries are believed.
    highest = max(2.0**bits - 1.0, float(entries.max()))
    return _Lut(entries, float(first), highest)


def _entries(data: object, count: int) -> _Curve | None:
    if isinstance(data, bytes):
        # Eight-bit entries come packed two to a word.
        kind = "<u2" if len(data) >= 2 * count else "u1"
        raw = np.frombuffer(data, dtype=kind, count=min(count, len(data) // np.dtype(kind).itemsize))
    else:
        raw = np.atleast_1d(np.asarray(data))[:count]
    return raw.astype(np.float64) if raw.size == count else None


def _look_up(table: _Lut, values: _Curve) -> _Curve:
    first = table.first
    # The first mapped value is signed or not as the values are; pydicom cannot know which.
    if first > values.max() and first >= 32768:
        first -= 65536
    index = np.clip(np.rint(values - first), 0, table.entries.size - 1)
    return np.take(table.entries, index.astype(np.intp))


def _is_inverse(dataset: Dataset) -> bool:
    """Whether low values are bright. MONOCHROME1 and Presentation LUT Shape INVERSE say the same thing, they do not cancel (C.8.11.3)."""
    return _text(dataset, "PhotometricInterpretation") == "MONOCHROME1" or _text(dataset, "PresentationLUTShape") == "INVERSE"
