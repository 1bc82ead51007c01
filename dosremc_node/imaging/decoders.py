"""From a file to its stored pixel values: which library decodes which transfer syntax, and what is refused.

``read`` and ``stored_values`` are pure functions of the file, so that they can run in a process of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.config
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder

from dosremc_node.errors import NotDicom, UndecodableImage
from dosremc_node.imaging.codestream import Codestream, Family, describe

StoredValues = NDArray[np.integer[Any]]

NATIVE: tuple[str, ...] = ("",)
"""Uncompressed pixel data needs no library."""

DECODER_ORDER: Mapping[str, tuple[str, ...]] = {
    uid.ImplicitVRLittleEndian: NATIVE,
    uid.ExplicitVRLittleEndian: NATIVE,
    uid.ExplicitVRBigEndian: NATIVE,
    uid.DeflatedExplicitVRLittleEndian: NATIVE,
    uid.RLELossless: ("pylibjpeg",),
    uid.JPEGBaseline8Bit: ("gdcm", "pillow"),
    uid.JPEGExtended12Bit: ("gdcm-12-bit", "gdcm", "pillow"),
    uid.JPEGLossless: ("gdcm",),
    uid.JPEGLosslessSV1: ("gdcm",),
    uid.JPEGLSLossless: ("pyjpegls", "gdcm"),
    uid.JPEGLSNearLossless: ("pyjpegls", "gdcm"),
    uid.JPEG2000Lossless: ("pylibjpeg", "gdcm"),
    uid.JPEG2000: ("pylibjpeg", "gdcm"),
    uid.HTJ2KLossless: ("pylibjpeg",),
    uid.HTJ2KLosslessRPCL: ("pylibjpeg",),
    uid.HTJ2K: ("pylibjpeg",),
}
"""pydicom's decoding plugins for every transfer syntax, the fastest exact one first. On 4096 x 3328 pixels of 12 bits, in seconds: RLE
pylibjpeg 0.06; JPEG-LS pyjpegls 0.22, gdcm 0.32; JPEG 2000 pylibjpeg 0.60-0.75,
gdcm 0.66-0.82; JPEG lossless gdcm 0.39. The plugin gdcm-12-bit is ours (`extended_jpeg.py`). pydicom's own RLE decoder (0.36) is left out: it cuts off what a lying header has no room for, and returns the rest."""

get_decoder(uid.JPEGExtended12Bit).add_plugin("gdcm-12-bit", ("dosremc_node.imaging.extended_jpeg", "decode_frame"))

_FAMILIES: Mapping[str, frozenset[Family]] = {
    uid.JPEGBaseline8Bit: frozenset({Family.JPEG}),
    uid.JPEGExtended12Bit: frozenset({Family.JPEG}),
    uid.JPEGLossless: frozenset({Family.JPEG_LOSSLESS}),
    uid.JPEGLosslessSV1: frozenset({Family.JPEG_LOSSLESS}),
    uid.JPEGLSLossless: frozenset({Family.JPEG_LS}),
    uid.JPEGLSNearLossless: frozenset({Family.JPEG_LS}),
    uid.JPEG2000Lossless: frozenset({Family.JPEG_2000}),
    uid.JPEG2000: frozenset({Family.JPEG_2000}),
    uid.HTJ2KLossless: frozenset({Family.JPEG_2000}),
    uid.HTJ2KLosslessRPCL: frozenset({Family.JPEG_2000}),
    uid.HTJ2K: frozenset({Family.JPEG_2000}),
}

_LARGEST_FRAME = 128_000_000
"""Samples. The largest mammography detectors have about 25 million pixels: a header that asks for more would only eat memory."""


def read(path: Path) -> FileDataset:
    """Read a DICOM Part 10 file with its pixel data; raises `NotDicom`."""
    try:
        return pydicom.dcmread(path)
    except InvalidDicomError:
        raise NotDicom(why="it has no DICOM Part 10 header") from None
    except (OSError, MemoryError):
        raise
    # The named boundary: a broken file makes pydicom raise nearly anything, with the file's values in the text.
    except Exception as error:  # noqa: BLE001
        raise NotDicom(why=f"reading it ends in {type(error).__name__}") from None


def stored_values(dataset: FileDataset, frame: int = 0, order: Mapping[str, tuple[str, ...]] = DECODER_ORDER) -> StoredValues:
    """Decode one frame to its stored values.

    The shape is (rows, columns), or (rows, columns, samples) where there are several samples a pixel; the type is the
    integer type of Bits Allocated and Pixel Representation, unused bits filled by the sign (PS3.5 8.1.1). Colour is left as it is stored.
    ``order`` overrides `DECODER_ORDER`. Raises `UndecodableImage`.
    """
    syntax = _transfer_syntax(dataset)
    if syntax not in order:
        raise _undecodable(syntax, "no decoder is known for this transfer syntax")
    rows, columns, samples = _shape(dataset, syntax)
    if syntax.is_encapsulated:
        _check_compressed(dataset, syntax, frame)
    else:
        _check_native(dataset, syntax, rows, columns, samples)
    values = _decode(dataset, syntax, frame, order[syntax])
    if values.shape != ((rows, columns) if samples == 1 else (rows, columns, samples)):
        raise _undecodable(syntax, "the decoder returned another size than the header announces")
    return _within_bits_stored(dataset, syntax, values)


def frames(dataset: FileDataset) -> int:
    """Number of Frames (0028,0008); 1 where the header has none."""
    return max(1, _integer(dataset, "NumberOfFrames", 1))


def pixel_digest(path: Path) -> str:
    """The SHA-256 of the decoded stored values of all frames and their shape, whatever the transfer syntax: the same for a
    losslessly recompressed copy, another for another image. Raises `NotDicom` and `UndecodableImage`.
    """
    dataset = read(path)
    digest = hashlib.sha256()
    for frame in range(frames(dataset)):
        values = stored_values(dataset, frame)
        digest.update(repr(values.shape).encode())
        # One width for all, because a recompressed copy may have been given other Bits Allocated.
        digest.update(np.ascontiguousarray(values, dtype="<i4").data)
    return digest.hexdigest()


def _undecodable(syntax: uid.UID, why: str) -> UndecodableImage:
    return UndecodableImage(transfer_syntax=syntax.name if syntax.is_transfer_syntax else "unknown transfer syntax", why=why)


def _transfer_syntax(dataset: FileDataset) -> uid.UID:
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    return uid.UID(str(syntax)) if syntax else uid.UID("")


def _integer(dataset: FileDataset, keyword: str, default: int = 0) -> int:
    """An integer of the header; ``default`` where it is missing or no integer."""
    try:
        return int(dataset.get(keyword, default))
    except (TypeError, ValueError, AttributeError, OverflowError, NotImplementedError):
        return default


def _has_pixel_data(dataset: FileDataset) -> bool:
    try:
        return "PixelData" in dataset and bool(dataset["PixelData"].value)
    except NotImplementedError:  # a value representation that there is not
        return False


def _shape(dataset: FileDataset, syntax: uid.UID) -> tuple[int, int, int]:
    if not _has_pixel_data(dataset):
        raise _undecodable(syntax, "there is no pixel data")
    rows, columns, samples = (_integer(dataset, keyword) for keyword in ("Rows", "Columns", "SamplesPerPixel"))
    if rows < 1 or columns < 1 or samples not in (1, 3):
        raise _undecodable(syntax, f"the header announces {rows} rows, {columns} columns and {samples} samples a pixel")
    if rows * columns * samples > _LARGEST_FRAME:
        raise _undecodable(syntax, f"{rows} x {columns} pixels are more than any detector has")
    if _integer(dataset, "BitsAllocated") not in (1, 8, 16, 32):
        raise _undecodable(syntax, "Bits Allocated is neither 8, 16 nor 32")
    bits_stored = _integer(dataset, "BitsStored")
    if _integer(dataset, "HighBit", bits_stored - 1) != bits_stored - 1:
        raise _undecodable(syntax, "High Bit is not Bits Stored - 1, so that it cannot be told which bits hold the values")
    return rows, columns, samples


def _within_bits_stored(dataset: FileDataset, syntax: uid.UID, values: StoredValues) -> StoredValues:
    """Clear the bits above Bits Stored where the header says that overlays lie there; elsewhere they are a lie about the values."""
    bits_stored = _integer(dataset, "BitsStored")
    if values.dtype.kind == "i" or not values.size or int(values.max()) < 1 << bits_stored:
        return values
    # Overlay Bit Position (60xx,0102), in any of the sixteen overlay groups (PS3.5 8.1.2, retired)
    if any((group, 0x0102) in dataset for group in range(0x6000, 0x6020, 2)):
        return values & values.dtype.type((1 << bits_stored) - 1)
    raise _undecodable(syntax, f"it has values of more than the {bits_stored} bits that the header announces")


def _check_native(dataset: FileDataset, syntax: uid.UID, rows: int, columns: int, samples: int) -> None:
    """Refuse a header that fits fewer pixels than are there: every row would be read from the wrong place."""
    sample_bytes = samples * _integer(dataset, "BitsAllocated") // 8
    excess = len(dataset["PixelData"].value) - frames(dataset) * rows * columns * sample_bytes
    if sample_bytes and excess >= min(rows, columns) * sample_bytes and excess > 1:
        raise _undecodable(syntax, "there are more pixels than the header announces")


def _check_compressed(dataset: FileDataset, syntax: uid.UID, frame: int) -> None:
    """Compare the header with what the compressed stream says of itself."""
    if syntax not in _FAMILIES:
        return
    stream = describe(_compressed(dataset, syntax, frame))
    if stream is None:
        raise _undecodable(syntax, "the stream has no readable frame header")
    if why := _contradiction(dataset, syntax, stream):
        raise _undecodable(syntax, why)


def _compressed(dataset: FileDataset, syntax: uid.UID, frame: int) -> bytes:
    try:
        return get_frame(dataset["PixelData"].value, frame, number_of_frames=frames(dataset))
    # The named boundary: what is not encapsulated as PS3.5 A.4 has it ends in any of several errors.
    except Exception as error:  # noqa: BLE001
        raise _undecodable(syntax, f"the fragments cannot be read ({type(error).__name__})") from None


def _contradiction(dataset: FileDataset, syntax: uid.UID, stream: Codestream) -> str:
    """What the header says otherwise than the stream, in words; empty where they agree."""
    if stream.family not in _FAMILIES[syntax]:
        return f"the stream is {stream.family}"
    rows, columns, samples = (_integer(dataset, keyword) for keyword in ("Rows", "Columns", "SamplesPerPixel"))
    if (stream.rows, stream.columns, stream.samples) != (rows, columns, samples):
        return (
            f"the header announces {rows} x {columns} pixels of {samples} samples, "
            f"the stream holds {stream.rows} x {stream.columns} of {stream.samples}"
        )
    if stream.precision > _integer(dataset, "BitsAllocated"):
        return f"the stream has {stream.precision} bits a sample, the header allocates fewer"
    return "" if stream.ends else "the stream is cut off"


def _decode(dataset: FileDataset, syntax: uid.UID, frame: int, plugins: tuple[str, ...]) -> StoredValues:
    decoder = get_decoder(syntax)
    failures = []
    for plugin in plugins:
        try:
            signed = _integer(dataset, "PixelRepresentation") == 1
            values: StoredValues = decoder.as_array(
                dataset,
                index=frame,
                raw=True,
                decoding_plugin=plugin,
                correct_unused_bits=signed,  # type: ignore[arg-type]  # pydicom's stubs lack `Unpack`
            )[0]
            return values.astype(values.dtype.newbyteorder("="), copy=False)
        except (KeyboardInterrupt, SystemExit):
            raise
        # The named boundary: each decoder fails in its own way, those in Rust with a panic that is no Exception, and the next may succeed.
        except BaseException as error:  # noqa: BLE001
            failures.append(f"{plugin or 'reading it'} failed with {type(error).__name__}")
    raise _undecodable(syntax, ", ".join(failures))
