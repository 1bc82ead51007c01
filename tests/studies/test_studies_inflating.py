"""A deflated data set is measured before it is inflated."""

from __future__ import annotations

import resource
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, DigitalMammographyXRayImageStorageForPresentation

from dosremc_node.errors import NotDicom
from dosremc_node.studies import read_header
from dosremc_node.studies.inflating import LARGEST_INFLATED


def deflated(path: Path, zeros: int) -> Path:
    """A mammogram whose deflated data set ends with so many zeros, written piece by piece."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID, data.StudyInstanceUID = DigitalMammographyXRayImageStorageForPresentation, "1.2.3", "1.2.4"
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    head, elements = buffer.getvalue(), BytesIO()
    del data.file_meta
    data.save_as(elements, implicit_vr=False, little_endian=True)
    meta_length = 144 + int.from_bytes(head[140:144], "little")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    with path.open("wb") as file:
        file.write(head[:meta_length])
        file.write(deflater.compress(elements.getvalue() + b"\xe0\x7f\x10\x00OW\x00\x00" + zeros.to_bytes(4, "little")))
        for _ in range(zeros >> 20):
            file.write(deflater.compress(bytes(1 << 20)))
        file.write(deflater.flush())
    return path


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Not much more memory than this process has now."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 26), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_an_honest_deflated_image_is_read(tmp_path: Path) -> None:
    """Twenty megabytes of pixels are what a mammogram has."""
    assert read_header(deflated(tmp_path / "image.dcm", 20 << 20)).sop_instance_uid == "1.2.3"


def test_a_bomb_is_refused_in_little_memory(tmp_path: Path, little_memory: None) -> None:
    """A file of a megabyte that would become a gigabyte is no image, and costs no gigabyte to find out."""
    bomb = deflated(tmp_path / "bomb.dcm", LARGEST_INFLATED * 4)
    assert bomb.stat().st_size < 2 << 20
    with pytest.raises(NotDicom, match="inflates"):
        read_header(bomb)


@pytest.mark.parametrize("size", [150, 300, 1000])
def test_a_deflated_image_that_is_cut_off_is_no_dicom(size: int, tmp_path: Path) -> None:
    """Broken in the header or in the deflated part: a refusal with its reason, never another error."""
    path = deflated(tmp_path / "image.dcm", 1 << 20)
    path.write_bytes(path.read_bytes()[: min(size, path.stat().st_size - 200)] + b"\xff" * 100)
    with pytest.raises(NotDicom):
        read_header(path)
