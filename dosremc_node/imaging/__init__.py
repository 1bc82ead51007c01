"""Imaging knows pixels: decoders, the grey scale as the vendor meant it, the breast outline, orientation.

It gives a network input and the exact map back to the stored image's coordinates; through `ImagingWorkers` in processes of their own, which a
broken image may bring down.
"""

from __future__ import annotations

from dosremc_node.imaging.decoders import DECODER_ORDER, pixel_digest
from dosremc_node.imaging.encoding import decode_input, encode_input
from dosremc_node.imaging.preparation import DEFAULT_SPEC, prepare
from dosremc_node.imaging.workers import ImagingWorkers
from dosremc_node.libraries import settle_dicom_libraries

settle_dicom_libraries()

__all__ = [
    "DECODER_ORDER",
    "DEFAULT_SPEC",
    "ImagingWorkers",
    "decode_input",
    "encode_input",
    "pixel_digest",
    "prepare",
]
