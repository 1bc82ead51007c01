"""What a compressed frame says of itself, so that a header that lies about it is caught before a decoder believes it.

Decoders size their output by the DICOM header. Where the stream holds another size they return rubbish, or crash.
Sources: ITU-T T.81 B.2 (JPEG), T.87 C.2 (JPEG-LS), T.800 A.5.1 and I.4 (JPEG 2000, boxed and bare).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LOSSLESS_FRAMES = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_JPEG_LS_FRAME = 0xF7
_START_OF_SCAN = 0xDA
_STANDALONE = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_J2K_START = b"\xff\x4f\xff\x51"
_END_OF_STREAM = b"\xff\xd9"
_TRAILING_BYTES = 32


class Family(StrEnum):
    """The kinds of compressed stream that DICOM encapsulates."""

    JPEG = "JPEG"
    JPEG_LOSSLESS = "JPEG lossless"
    JPEG_LS = "JPEG-LS"
    JPEG_2000 = "JPEG 2000"


@dataclass(frozen=True, slots=True)
class Codestream:
    """What the frame header of a compressed stream says; ``precision`` is bits a sample, ``ends`` whether its end is there."""

    family: Family
    rows: int
    columns: int
    samples: int
    precision: int
    ends: bool


def describe(frame: bytes) -> Codestream | None:
    """Read the frame header of a JPEG, JPEG-LS or JPEG 2000 stream; None where ``frame`` is no such stream, or is cut in its header."""
    try:
        if frame.startswith((_JP2_SIGNATURE, _J2K_START)):
            return _jpeg_2000(frame)
        if frame.startswith(b"\xff\xd8"):
            return _jpeg(frame)
    except (struct.error, IndexError):
        return None
    return None


def _ends(frame: bytes) -> bool:
    # Entropy-coded data never holds this marker, so near the end it can only be the end; after it stands padding.
    return _END_OF_STREAM in frame.rstrip(b"\x00")[-_TRAILING_BYTES:]


def _jpeg_2000(frame: bytes) -> Codestream | None:
    start = frame.find(_J2K_START)
    if start < 0:
        return None
    right, lower, left, upper = struct.unpack_from(">4I", frame, start + 8)
    (samples,) = struct.unpack_from(">H", frame, start + 40)
    precision = (frame[start + 42] & 0x7F) + 1
    return Codestream(Family.JPEG_2000, lower - upper, right - left, samples, precision, _ends(frame))


def _jpeg(frame: bytes) -> Codestream | None:
    position = 2
    while True:
        while frame[position] == 0xFF and frame[position + 1] == 0xFF:
            position += 1
        marker = frame[position + 1]
        if frame[position] != 0xFF or marker == _START_OF_SCAN:
            return None
        if marker in _STANDALONE:
            position += 2
            continue
        if marker in _START_OF_FRAME or marker == _JPEG_LS_FRAME:
            return _start_of_frame(frame, position, marker)
        position += 2 + struct.unpack_from(">H", frame, position + 2)[0]


def _start_of_frame(frame: bytes, position: int, marker: int) -> Codestream:
    precision, rows, columns, samples = struct.unpack_from(">BHHB", frame, position + 4)
    family = Family.JPEG_LS if marker == _JPEG_LS_FRAME else Family.JPEG_LOSSLESS if marker in _LOSSLESS_FRAMES else Family.JPEG
    return Codestream(family, rows, columns, samples, precision, _ends(frame))
