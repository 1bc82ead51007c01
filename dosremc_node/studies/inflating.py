"""How large a deflated data set becomes, found out before anybody inflates it in memory."""

from __future__ import annotations

import zlib
from pathlib import Path

from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dosremc_node.errors import NotDicom

LARGEST_INFLATED = 1 << 28
"""Several times the largest mammogram. A thousandth of it, sent by somebody hostile, would fill the machine's memory."""

_CHUNK = 1 << 20


def refuse_bomb(path: Path) -> None:
    """Raise `NotDicom` where the file is a deflated data set that would grow beyond `LARGEST_INFLATED` bytes."""
    with path.open("rb") as file:
        read_preamble(file, force=False)
        meta = _read_file_meta_info(file)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        inflater, inflated, content = zlib.decompressobj(-zlib.MAX_WBITS), 0, b""
        while not inflater.eof and (content := inflater.unconsumed_tail or file.read(_CHUNK)):
            inflated += len(inflater.decompress(content, _CHUNK))
            if inflated > LARGEST_INFLATED:
                raise NotDicom(why=f"it inflates to more than {LARGEST_INFLATED} bytes")
