"""Decoding: exact for every transfer syntax, and a refusal with its reason for what cannot be decoded."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder

from dosremc_node.errors import NodeError, NotDicom, UndecodableImage
from dosremc_node.imaging import DECODER_ORDER, pixel_digest
from dosremc_node.imaging.decoders import frames, read, stored_values

CODECS = {
    uid.RLELossless: ("dcmcrle", []),
    uid.JPEGLosslessSV1: ("dcmcjpeg", ["+e1"]),
    uid.JPEGLossless: ("dcmcjpeg", ["+el"]),
    uid.JPEGLSLossless: ("dcmcjpls", []),
    uid.ExplicitVRBigEndian: ("dcmconv", ["+tb"]),
    uid.ImplicitVRLittleEndian: ("dcmconv", ["+ti"]),
    uid.DeflatedExplicitVRLittleEndian: ("dcmconv", ["+td"]),
}
LOSSY = {uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", CODECS, ids=lambda syntax: syntax.name[:24])
def test_what_dcmtk_encodes_comes_back_bit_for_bit(syntax: uid.UID, signed: bool, make_file: Any, breast: Any, dcmtk: Any) -> None:
    """Pixels that DCMTK compressed without loss are decoded to exactly what they were."""
    pixels = breast(200, 151) if not signed else breast(200, 151).astype(np.int16) - 2048
    plain = make_file(pixels)
    coded = plain.with_suffix(".coded")
    program, options = CODECS[syntax]
    assert dcmtk(program, *options, plain, coded)
    dataset = read(coded)
    assert dataset.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(stored_values(dataset), pixels)


@pytest.mark.parametrize("plugin", DECODER_ORDER[uid.JPEG2000Lossless])
def test_jpeg_2000_comes_back_bit_for_bit(plugin: str, make_file: Any, breast: Any) -> None:
    """Every decoder for JPEG 2000 gives exactly the pixels that were compressed."""
    pixels = breast(200, 151)
    path = make_file(pixels)
    dataset = read(path)
    dataset.compress(uid.JPEG2000Lossless)
    np.testing.assert_array_equal(stored_values(dataset, order={uid.JPEG2000Lossless: (plugin,)}), pixels)


@pytest.mark.parametrize("quality", ["90", "100"])
def test_jpeg_of_twelve_bits_is_what_dcmtk_decodes(quality: str, make_file: Any, breast: Any, dcmtk: Any) -> None:
    """Lossy JPEG of 12 bits, which libraries for 8 bits refuse, gives the very pixels that DCMTK makes of it."""
    pixels = breast(200, 151)
    plain = make_file(pixels)
    coded, again = plain.with_suffix(".coded"), plain.with_suffix(".again")
    assert dcmtk("dcmcjpeg", "+ee", "+q", quality, plain, coded)
    assert dcmtk("dcmdjpeg", coded, again)
    dataset = read(coded)
    assert dataset.file_meta.TransferSyntaxUID == uid.JPEGExtended12Bit
    np.testing.assert_array_equal(stored_values(dataset), stored_values(read(again)))
    assert np.abs(stored_values(dataset).astype(int) - pixels).max() < 400


@pytest.mark.parametrize(("order", "syntax"), [("LRCP", uid.HTJ2KLossless), ("RPCL", uid.HTJ2KLosslessRPCL)])
def test_high_throughput_jpeg_2000_comes_back_bit_for_bit(order: str, syntax: uid.UID, make_file: Any, breast: Any) -> None:
    """Pixels that OpenJPH, by the authors of the standard, compressed without loss are decoded to what they were; a cut stream is refused."""
    if shutil.which("ojph_compress") is None:
        pytest.skip("ojph_compress is not installed (Debian package openjph-tools)")
    pixels = breast(200, 151)
    path = make_file(pixels)
    picture, stream = path.with_suffix(".pgm"), path.with_suffix(".j2c")
    picture.write_bytes(b"P5\n151 200\n4095\n" + pixels.astype(">u2").tobytes())
    subprocess.run(
        ["ojph_compress", "-i", picture, "-o", stream, "-reversible", "true", "-prog_order", order], check=True, capture_output=True
    )
    dataset = read(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stream.read_bytes()])
    np.testing.assert_array_equal(stored_values(dataset), pixels)
    dataset.PixelData = encapsulate([stream.read_bytes()[: stream.stat().st_size // 2]])
    with pytest.raises(UndecodableImage, match="cut off"):
        stored_values(dataset)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless])
def test_overlays_in_unused_bits_are_cleared(syntax: uid.UID, make_file: Any, breast: Any) -> None:
    """An overlay that the header announces in the bits above Bits Stored does not change the values."""
    pixels = breast(200, 151)
    dataset = read(make_file(pixels | np.uint16(1 << 12)))
    dataset.add_new(0x60000100, "US", 16)
    dataset.add_new(0x60000102, "US", 12)
    if syntax.is_compressed:
        dataset.compress(syntax)
    np.testing.assert_array_equal(stored_values(dataset), pixels)


@pytest.mark.parametrize(("bits_stored", "high_bit", "why"), [(10, 9, "more than the 10 bits"), (12, 15, "High Bit")])
def test_a_header_that_lies_about_its_bits_is_refused(bits_stored: int, high_bit: int, why: str, make_file: Any, breast: Any) -> None:
    """Values that Bits Stored has no room for would come out folded over, those of another High Bit cut: both are refused."""
    dataset = read(make_file(breast(200, 151)))
    dataset.BitsStored, dataset.HighBit = bits_stored, high_bit
    with pytest.raises(UndecodableImage, match=why):
        stored_values(dataset)


@pytest.mark.parametrize("bits_stored", [10, 13, 14, 16])
def test_every_number_of_bits(bits_stored: int, make_file: Any, breast: Any) -> None:
    """10, 13, 14 and 16 stored bits are read as 12 are."""
    pixels = breast(200, 151, highest=2**bits_stored - 1)
    np.testing.assert_array_equal(stored_values(read(make_file(pixels, BitsStored=bits_stored))), pixels)


@pytest.mark.parametrize("size", [50, 51])
@pytest.mark.parametrize("table", [b"", bytes(4)])
def test_fragments_of_any_size(size: int, table: bytes, make_file: Any, breast: Any) -> None:
    """A frame in many fragments, of odd length too, with or without an offset table, is put together."""
    pixels = breast(200, 151)
    dataset = read(make_file(pixels))
    dataset.compress(uid.JPEG2000Lossless)
    frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    pieces = [table, *(frame[start : start + 2 * size + 1 - size % 2] for start in range(0, len(frame), 2 * size + 1 - size % 2))]
    dataset.PixelData = b"".join(b"\xfe\xff\x00\xe0" + len(piece).to_bytes(4, "little") + piece for piece in pieces)
    np.testing.assert_array_equal(stored_values(dataset), pixels)


def test_a_recompressed_copy_has_the_same_digest(make_file: Any, breast: Any, dcmtk: Any) -> None:
    """The pixel digest does not depend on the transfer syntax, and does depend on a single pixel and on the shape."""
    pixels = breast(120, 90)
    plain = make_file(pixels)
    digests = {pixel_digest(plain)}
    for program, options in CODECS.values():
        coded = plain.with_suffix(f".{program}{''.join(options)}")
        assert dcmtk(program, *options, plain, coded)
        digests.add(pixel_digest(coded))
    assert len(digests) == 1
    changed = pixels.copy()
    changed[60, 20] += 1
    assert pixel_digest(make_file(changed)) not in digests
    assert pixel_digest(make_file(np.ascontiguousarray(pixels.reshape(90, 120)))) not in digests


def _robust_files(shared_data: Path) -> Iterator[Path]:
    return (path for path in sorted((shared_data / "robust-dev").rglob("*")) if path.is_file())


def test_odd_files_decode_or_are_refused(shared_data: Path) -> None:
    """Every odd, broken or rare file is decoded, or refused by one of the node's own errors that quotes nothing of it."""
    decoded, refused = 0, 0
    for path in _robust_files(shared_data):
        try:
            pixel_digest(path)
        except (NotDicom, UndecodableImage):
            refused += 1
        else:
            decoded += 1
    assert decoded >= 130
    assert refused >= 80


def test_odd_files_decode_as_dcmtk_decodes_them(shared_data: Path, tmp_path: Path, dcmtk: Any) -> None:
    """What is decoded of the odd files equals what DCMTK's command line makes of them: exactly, or within 2 where JPEG is lossy."""
    compared = 0
    for path in _robust_files(shared_data):
        try:
            dataset = read(path)
            ours = [stored_values(dataset, frame) for frame in range(frames(dataset))]
        except NodeError:
            continue
        theirs = _by_dcmtk(path, dataset, tmp_path / "plain.dcm", dcmtk)
        if theirs is None:
            continue
        difference = np.abs(np.stack(ours).reshape(-1).astype(np.int64) - theirs.astype(np.int64)).max()
        assert difference <= (2 if dataset.file_meta.TransferSyntaxUID in LOSSY else 0), path.name
        compared += 1
    assert compared >= 60


def _by_dcmtk(path: Path, dataset: pydicom.FileDataset, plain: Path, dcmtk: Callable[..., bool]) -> np.ndarray[Any, Any] | None:
    """The stored values as DCMTK writes them uncompressed; None where it cannot, or where it would convert colours."""
    syntax = dataset.file_meta.TransferSyntaxUID
    program = "dcmdrle" if syntax == uid.RLELossless else "dcmdjpls" if syntax in uid.JPEGLSTransferSyntaxes else "dcmdjpeg"
    program = program if syntax.is_encapsulated else "dcmconv"
    if dataset.SamplesPerPixel != 1 or dataset.BitsAllocated not in (8, 16) or not dcmtk(program, "+te", path, plain):
        return None
    written = pydicom.dcmread(plain)
    values = np.frombuffer(written.PixelData, dtype=f"<{'i' if written.PixelRepresentation else 'u'}{written.BitsAllocated // 8}")
    shift = written.BitsAllocated - written.BitsStored
    count = written.Rows * written.Columns * int(written.get("NumberOfFrames", 1) or 1)
    return (values[:count] << shift) >> shift


def test_jpeg_2000_decoders_agree(shared_data: Path) -> None:
    """The two libraries for JPEG 2000 give the same values for every odd file that both decode."""
    compared = 0
    for path in _robust_files(shared_data):
        try:
            dataset = read(path)
        except NotDicom:
            continue
        if dataset.file_meta.get("TransferSyntaxUID") not in (uid.JPEG2000, uid.JPEG2000Lossless):
            continue
        results = []
        for plugin in ("gdcm", "pylibjpeg"):
            try:
                results.append(stored_values(dataset, order={dataset.file_meta.TransferSyntaxUID: (plugin,)}))
            except UndecodableImage:
                continue
        if len(results) == 2:
            difference = np.abs(results[0].astype(np.int64) - results[1].astype(np.int64)).max()
            assert difference <= (0 if dataset.file_meta.TransferSyntaxUID == uid.JPEG2000Lossless else 1), path.name
            compared += 1
    assert compared >= 5


@pytest.mark.parametrize(("rows", "columns"), [(400, 90), (60, 90), (120, 91), (120, 80), (119, 90), (60000, 60000)])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_a_header_that_lies_about_its_size_is_refused(rows: int, columns: int, syntax: uid.UID, make_file: Any, breast: Any) -> None:
    """Rows and Columns that do not fit the pixel data are refused, whatever the compression, whether they say too much or too little."""
    dataset = read(make_file(breast(120, 90)))
    if syntax.is_compressed:
        dataset.compress(syntax)
    dataset.Rows, dataset.Columns = rows, columns
    with pytest.raises(UndecodableImage):
        stored_values(dataset)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_a_header_that_exchanges_rows_and_columns_is_refused(syntax: uid.UID, make_file: Any, breast: Any) -> None:
    """The right number of pixels in another shape is refused where the stream knows its shape."""
    dataset = read(make_file(breast(120, 90)))
    dataset.compress(syntax)
    dataset.Rows, dataset.Columns = 90, 120
    with pytest.raises(UndecodableImage, match="the header announces 90 x 120"):
        stored_values(dataset)


def test_a_stream_of_another_kind_is_refused(make_file: Any, breast: Any) -> None:
    """A JPEG lossless header over a JPEG 2000 stream of another size is refused, by name."""
    dataset, other = read(make_file(breast(120, 90))), read(make_file(breast(64, 48)))
    other.compress(uid.JPEG2000Lossless)
    dataset.PixelData = other.PixelData
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    with pytest.raises(UndecodableImage, match="the stream is JPEG 2000"):
        stored_values(dataset)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.95])
def test_a_truncated_stream_is_refused(syntax: uid.UID, share: float, make_file: Any, breast: Any) -> None:
    """Pixel data that end early are refused: half a breast is no breast."""
    dataset = read(make_file(breast(120, 90)))
    if syntax.is_compressed:
        dataset.compress(syntax)
        frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
        dataset.PixelData = encapsulate([frame[: int(len(frame) * share)]])
    else:
        dataset.PixelData = dataset.PixelData[: int(len(dataset.PixelData) * share)]
    with pytest.raises(UndecodableImage):
        stored_values(dataset)


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLossless])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_truncated_jpeg_is_refused(syntax: uid.UID, share: float, make_file: Any, breast: Any, dcmtk: Any) -> None:
    """JPEG decoders fill up what is missing with grey: a stream without its end is refused before they can."""
    plain = make_file(breast(120, 90))
    program, options = CODECS[syntax]
    coded = plain.with_suffix(".coded")
    assert dcmtk(program, *options, plain, coded)
    dataset = read(coded)
    frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: int(len(frame) * share)]])
    with pytest.raises(UndecodableImage, match="cut off"):
        stored_values(dataset)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_decoded_or_refused(data: st.DataObject, tmp_path: Path, make_file: Any, breast: Any) -> None:
    """A file with some of its bytes overwritten never ends in another error than the node's own."""
    syntax = data.draw(st.sampled_from([None, uid.RLELossless, uid.JPEGLSLossless]))
    path = make_file(breast(40, 30))
    if syntax:
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path, enforce_file_format=True)
    content = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(132, len(content) - 1), min_size=1, max_size=6)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        pixel_digest(path)
    except (NotDicom, UndecodableImage):
        pass
    finally:
        path.unlink()


def test_the_order_names_decoders_that_are_there() -> None:
    """Every decoder of every transfer syntax is installed with the node."""
    for syntax, plugins in DECODER_ORDER.items():
        if uid.UID(syntax).is_encapsulated:
            assert set(plugins) <= set(get_decoder(uid.UID(syntax)).available_plugins), syntax


def test_errors_quote_nothing_of_the_header(make_file: Any, breast: Any, tmp_path: Path) -> None:
    """The text of a refusal holds no value of an identifying attribute."""
    path = make_file(breast(120, 90), PatientName="CANARY^NAME", PatientID="CANARYID", Rows=500, StudyInstanceUID="1.2.3.999")
    dataset = read(path)
    with pytest.raises(UndecodableImage) as caught:
        stored_values(dataset)
    for secret in ("CANARY", "1.2.3.999", str(dataset.SOPInstanceUID)):
        assert secret not in str(caught.value)
