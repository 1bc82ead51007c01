"""The index table: what is written is what is read, no woman is in two splits, and what is confounded is said."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from scipy.stats.contingency import association

from dosremc_node.errors import PatientInTwoSplits, WrongIndex
from dosremc_node.network.data import Box, Excluded, Index, IndexRow, Split, assign_splits, balance, confounding, read_index, write_index
from dosremc_node.records import Domain, Laterality, View

NAMES = st.text("abcXYZ019 _-.:,\"'äß", min_size=1, max_size=12).filter(lambda text: text == text.strip())


def row(
    patient: int, *, malignant: bool = False, domain: str = "a", split: Split | None = None, side: Laterality = Laterality.LEFT
) -> IndexRow:
    return IndexRow(Path(f"{patient}{side}.dcm"), f"exam {patient}", f"woman {patient}", side, View.CC, malignant, Domain(domain), split)


def women(*groups: tuple[str, int, int]) -> Index:
    """Groups of (domain, malignant women, others), one image each."""
    rows: list[IndexRow] = []
    for domain, malignant, others in groups:
        rows += [row(len(rows) + number, malignant=number < malignant, domain=domain) for number in range(malignant + others)]
    return Index(tuple(rows))


def as_test(index: Index) -> Index:
    return Index(tuple(replace(each, split=Split.TEST) for each in index.rows))


rows = st.builds(
    IndexRow,
    path=NAMES.map(Path),
    exam=NAMES,
    patient=NAMES,
    laterality=st.sampled_from(Laterality),
    view=st.sampled_from(View),
    malignant=st.booleans(),
    domain=NAMES.map(Domain),
    split=st.just(Split.TEST),
    lesion=st.none() | st.builds(Box, st.integers(0, 50), st.integers(0, 50), st.integers(51, 4000), st.integers(51, 4000)),
)


@given(st.lists(rows, max_size=5))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, found: list[IndexRow]) -> None:
    """Every row comes back equal, whatever commas and quotes its names hold, and finds its file from the index's own folder."""
    folder = tmp_path_factory.mktemp("index")
    absolute = Index(tuple(replace(each, path=folder / each.path) for each in found))
    write_index(absolute, folder / "index.csv")
    assert read_index(folder / "index.csv").rows == absolute.rows


def test_an_index_beside_the_images_moves_with_them(tmp_path: Path) -> None:
    """Paths are relative to the file: no folder above it is written down, and what was excluded stands beside it with its reason."""
    index = Index((row(1, split=Split.TEST),), (Excluded(tmp_path / "set" / "x.dcm", "Not there."),))
    moved = Index(tuple(replace(each, path=tmp_path / "set" / each.path) for each in index.rows))
    write_index(Index(moved.rows, index.excluded), tmp_path / "out" / "index.csv")
    assert str(tmp_path) not in (tmp_path / "out" / "index.csv").read_text()
    assert read_index(tmp_path / "out" / "index.csv").rows[0].path.resolve() == moved.rows[0].path
    assert (tmp_path / "out" / "index.excluded.csv").read_text().splitlines() == ["path,reason", "../set/x.dcm,Not there."]


@pytest.mark.parametrize(
    ("column", "value"),
    [("laterality", "left"), ("view", "CCC"), ("label", "1"), ("split", "train"), ("path", ""), ("domain", ""), ("lesion", "1 2 3")],
)
def test_a_wrong_cell_is_named(tmp_path: Path, column: str, value: str) -> None:
    """The error names file, line and column, and says nothing of the patient."""
    cells = {"path": "a.dcm", "exam": "e", "patient": "SECRET", "laterality": "L", "view": "CC", "label": "negative", "domain": "d", "split": "test", "lesion": ""}  # fmt: skip
    cells[column] = value
    (tmp_path / "index.csv").write_text(",".join(cells) + "\n" + ",".join(cells.values()) + "\n")
    with pytest.raises(WrongIndex, match=rf"line 2: {column} is wrong") as error:
        read_index(tmp_path / "index.csv")
    assert "SECRET" not in str(error.value)


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    """So is a file that is no table at all."""
    (tmp_path / "index.csv").write_text("path,exam\n")
    with pytest.raises(WrongIndex, match="line 1: domain"):
        read_index(tmp_path / "index.csv")
    (tmp_path / "index.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WrongIndex, match="a CSV file that can be read"):
        read_index(tmp_path / "index.csv")


def test_a_patient_in_two_splits_is_an_error(tmp_path: Path) -> None:
    """Also across two index files; the error names both rows and splits, not the woman."""
    write_index(Index((row(1, split=Split.TRAINING), row(2, split=Split.TRAINING))), tmp_path / "one.csv")
    write_index(Index((row(2, split=Split.TEST, side=Laterality.RIGHT),)), tmp_path / "two.csv")
    with pytest.raises(PatientInTwoSplits, match=r"Row 3 \(test\) shows the same patient as row 2 \(training\)") as error:
        read_index(tmp_path / "one.csv", tmp_path / "two.csv")
    assert "woman" not in str(error.value)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=3), st.integers(0, 5))
def test_splits_keep_women_together_and_classes_apart_evenly(groups: list[tuple[str, int, int]], seed: int) -> None:
    """Each stratum is within two women of its shares, all images of a woman share a split, and the order of the rows does not matter."""
    once = women(*groups)
    index = Index((*once.rows, *(row(number, malignant=each.malignant, domain=each.domain, side=Laterality.RIGHT) for number, each in enumerate(once.rows))))  # fmt: skip
    split = assign_splits(index, seed)
    of_woman = {each.patient: each.split for each in split.rows}
    assert all(each.split is of_woman[each.patient] for each in split.rows)
    assert {each.patient: each.split for each in assign_splits(Index(index.rows[::-1]), seed).rows} == of_woman
    for domain in "ab":
        for malignant in (True, False):
            here = Counter(each.split for each in split.rows[: len(once.rows)] if (each.domain, each.malignant) == (domain, malignant))
            for name, share in ((Split.TRAINING, 0.7), (Split.VALIDATION, 0.15), (Split.TEST, 0.15)):
                assert abs(here[name] - share * here.total()) <= 2


def test_another_seed_gives_another_split() -> None:
    """And the same seed the same one."""
    index = women(("a", 20, 80))
    one, again, other = (assign_splits(index, seed) for seed in (1, 1, 2))
    assert one == again != other


def test_a_published_test_split_stays_and_validation_comes_out_of_training() -> None:
    """No woman of the published test split is learnt from or chosen by."""
    published = tuple(row(number, malignant=number % 4 == 0, split=Split.TEST if number >= 80 else Split.TRAINING) for number in range(100))
    split = assign_splits(Index(published), 1)
    counts = Counter(each.split for each in split.rows)
    assert [each.split for each in split.rows[80:]] == [Split.TEST] * 20
    assert counts[Split.VALIDATION] == pytest.approx(80 * 0.15 / 0.85, abs=2)
    assert assign_splits(split, 7) == split


def test_balance_counts_women_exams_breasts_and_images() -> None:
    """A breast of two views is one breast, and malignant once."""
    views = [IndexRow(Path("x"), "e", "p", Laterality.LEFT, view, True, Domain("a"), Split.TEST) for view in (View.CC, View.MLO)]
    (found,) = balance(Index((*views, row(9, split=Split.TEST))))
    assert (found.patients, found.exams, found.breasts, found.malignant, found.images, found.lesions) == (2, 2, 2, 1, 3, 0)
    assert found.malignant_share == 0.5


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 60)), min_size=1, max_size=4))
def test_confounding_is_what_independent_programs_compute(counts: list[tuple[int, int]]) -> None:
    """The AUC is Mann-Whitney's U of the domains' base rates, Cramer's V is scipy's."""
    index = women(*((chr(97 + number), malignant, others) for number, (malignant, others) in enumerate(counts)))
    (found,) = confounding(as_test(index))
    malignant, others = np.array(counts).T
    share = malignant / (malignant + others)
    statistic = mannwhitneyu(np.repeat(share, malignant), np.repeat(share, others)).statistic
    assert found.auc == pytest.approx(statistic / (malignant.sum() * others.sum()))
    if len(counts) > 1:
        assert found.cramers_v == pytest.approx(association(np.array(counts), method="cramer"))
    else:
        assert (found.cramers_v, found.warning) == (0, None)


def test_a_scanner_that_predicts_the_label_is_warned_of() -> None:
    """With the shares of suspicious breasts that VinDr's manufacturers have; not where they are the same."""
    shares = (("a", 38, 962), ("b", 34, 966), ("c", 237, 763), ("d", 114, 886))
    (found,) = confounding(as_test(women(*shares)))
    assert found.warning is not None
    assert "the domain alone predicts the label (AUC 0.7" in found.warning
    (even,) = confounding(as_test(women(("a", 40, 960), ("b", 42, 958))))
    assert even.warning is None
    assert confounding(as_test(women(("a", 0, 10)))) == []
