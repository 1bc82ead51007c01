"""JPEG Extended of more than 8 bits by GDCM, as a plugin of pydicom: pydicom's own refuses such streams, GDCM decodes them as DCMTK does."""

from __future__ import annotations

import gdcm
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner

from dosremc_node.imaging.codestream import describe

DECODER_DEPENDENCIES = {uid.JPEGExtended12Bit: ("gdcm>=3.0.10",)}


def is_available(transfer_syntax: str) -> bool:
    """Whether this plugin decodes the transfer syntax."""
    return transfer_syntax in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """The samples of a frame, 16 bits each, little endian; raises `ValueError` for what is another plugin's, and where GDCM fails."""
    stream = describe(source)
    if stream is None or stream.precision <= 8 or stream.samples != 1 or runner.bits_allocated != 16:
        raise ValueError("not a grey stream of more than 8 bits")
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((stream.columns, stream.rows, 1))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, stream.precision, stream.precision - 1, 0))
    image.SetDataElement(_pixel_data(source))
    # GDCM gives bytes as text, those that are no UTF-8 escaped.
    return str(image.GetBuffer()).encode("utf-8", "surrogateescape")


def _pixel_data(source: bytes) -> gdcm.DataElement:
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(source)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    return element
