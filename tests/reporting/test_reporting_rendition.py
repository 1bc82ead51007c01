"""The same document under another SOP class, or from another maker."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.documents import DCIODVFY, read
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage, MammographyCADSRStorage

from dosremc_node.records import DocumentKind
from dosremc_node.reporting import rendition

CLASSES = (str(Comprehensive3DSRStorage), str(EnhancedSRStorage))


def errors(path: Path) -> list[str]:
    answer = subprocess.run([DCIODVFY, path], check=False, capture_output=True, text=True)
    return [line for line in (answer.stdout + answer.stderr).splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("sop_class", CLASSES)
def test_every_report_is_valid_under_every_class(sop_class: str, extreme_exams: dict[str, Any], tmp_path: Path) -> None:
    """Dciodvfy knows what each IOD allows: none of our reports holds anything that Enhanced or Comprehensive 3D SR forbids."""
    for exam in extreme_exams.values():
        for document in exam.render():
            made = rendition(document, sop_class)
            (tmp_path / "made.dcm").write_bytes(made.content)
            assert errors(tmp_path / "made.dcm") == []
            assert read(made).SOPClassUID == sop_class


def test_a_rendition_differs_in_what_it_has_to(make_exam: Callable[..., Any]) -> None:
    """Promise 4: own UIDs that follow from the original's, the same bytes when made again, and nothing else is touched."""
    for document in make_exam().render():
        made = rendition(document, CLASSES[1])
        assert rendition(document, CLASSES[1]) == made
        assert len({document.sop_instance_uid, made.sop_instance_uid, rendition(document, CLASSES[0]).sop_instance_uid}) == 3
        before, after = read(document), read(made)
        changed = {element.keyword for element in after if before.get(element.tag) != element}
        assert changed == {"SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"}


def test_another_maker_is_another_instance(make_exam: Callable[..., Any]) -> None:
    """A CAD report for a workstation that reads known makers only; the algorithm stays what Contributing Equipment says."""
    (document,) = (each for each in make_exam().render(kinds=[DocumentKind.CAD]) if each.sop_class_uid == MammographyCADSRStorage)
    made = rendition(document, document.sop_class_uid, "MAKER", "MODEL")
    assert made.sop_instance_uid != document.sop_instance_uid
    assert (read(made).Manufacturer, read(made).ManufacturerModelName) == ("MAKER", "MODEL")
    assert read(made).ContributingEquipmentSequence == read(document).ContributingEquipmentSequence
