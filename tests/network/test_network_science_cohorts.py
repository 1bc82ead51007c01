"""Who is in the benchmark, what each row sees of them, and how files are kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosremc_node.network.cache import code_digest, read_arrays, recipe_digest, write_arrays
from dosremc_node.network.examples import Examples
from dosremc_node.network.methods import METHODS
from dosremc_node.network.science.cells import screening_batches
from dosremc_node.network.science.cohorts import Cohort, Split, chosen_vendors, chunks, images_of, malignant_in_screening
from dosremc_node.network.science.hypotheses import Claim, hypotheses
from dosremc_node.network.science.presets import LARGE, PRESETS, QUICK, STANDARD, Preset
from dosremc_node.network.science.rows import Row, Sample, rows
from dosremc_node.network.science.samples import sample
from dosremc_node.simulation import VENDORS

TINY = replace(QUICK, training_breasts=4, screening_breasts=3, validation_breasts=2, test_breasts=2)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_no_breast_is_anywhere_twice(preset: Preset) -> None:
    """Not in two splits, two seeds or two vendors; seed 0, on which sizes were chosen, is none of the table's."""
    cohorts = [Cohort(preset, vendor, seed) for vendor in chosen_vendors(preset) for seed in preset.seed_numbers]
    drawn = Counter(breast.seed for cohort in cohorts for split in Split for breast in cohort.breasts(split))
    assert max(drawn.values()) == 1
    assert 0 not in preset.seed_numbers


def test_a_preset_has_at_most_its_vendors() -> None:
    """Three of however many there are on two cores, all of them in the large one."""
    assert chosen_vendors(STANDARD) == tuple(VENDORS)[:3]
    assert chosen_vendors(LARGE) == tuple(VENDORS)


def test_splits_have_their_prevalence() -> None:
    """Half of the training, validation and test breasts are malignant; 0.5 % of the screened."""
    cohort = Cohort(STANDARD, "B", 1)
    for split in (Split.TRAINING, Split.VALIDATION, Split.TEST):
        assert cohort.malignant(split).mean() == 0.5
    assert cohort.malignant(Split.SCREENING).sum() == malignant_in_screening(STANDARD.screening_breasts) == 2


def test_images_are_made_once(tmp_path: Path) -> None:
    """A chunk's file is named after what made it, and read again; the labels are the cohort's, two images a breast."""
    cohort = Cohort(TINY, "A", 1)
    made = images_of(tmp_path, cohort, Split.TEST)
    (path,) = [chunk.path for chunk in chunks(tmp_path, cohort, Split.TEST)]
    written = path.stat().st_mtime_ns
    images_of.cache_clear()
    again = images_of(tmp_path, cohort, Split.TEST)
    assert path.stat().st_mtime_ns == written
    assert np.array_equal(made.pixels, again.pixels)
    assert np.array_equal(made.malignant, np.repeat(cohort.malignant(Split.TEST), 2))
    (other,) = [chunk.path for chunk in chunks(tmp_path, Cohort(replace(TINY, width=64), "A", 1), Split.TEST)]
    assert other != path


def numbered(breasts: int, malignant: list[int]) -> Examples:
    """Images of 1 pixel that hold the number of their breast."""
    of_breast = np.repeat(np.arange(breasts), 2)
    labels = np.isin(of_breast, malignant)
    return Examples(
        of_breast[:, None, None].astype(np.float16), labels, np.where(labels[:, None], 1, np.nan).astype(np.float32).repeat(3, 1)
    )


TRAINING, SCREENING = numbered(40, list(range(0, 40, 2))), numbered(500, [0, 1])


@pytest.mark.parametrize(("images", "cancers"), [(50, 0), (200, 0), (600, 2), (1000, 2)])
def test_a_screening_sample_is_as_screening_finds_it(images: int, cancers: int) -> None:
    """As many images as asked for, 0.5 % of the breasts malignant to the nearest breast, and no labels."""
    seen, labels = sample(Row("", "adabn", Sample.SCREENING, images), TRAINING, SCREENING, lambda each: each.pixels.ravel().astype(float))
    assert (len(seen), seen.malignant.sum() / 2, labels) == (images, cancers, None)


def test_a_recalled_sample_is_what_the_reader_suspects() -> None:
    """One in five malignant, the others the screened breasts with the highest suspicion, and no labels."""
    seen, labels = sample(Row("", "adabn", Sample.RECALLED, 50), TRAINING, SCREENING, lambda each: each.pixels.ravel().astype(float))
    assert labels is None
    assert len(seen) == 50
    assert seen.malignant.sum() == 10
    assert sorted(set(seen.pixels[~seen.malignant].ravel())) == list(range(480, 500))


@pytest.mark.parametrize(("kind", "known"), [(Sample.LABELLED, True), (Sample.ENRICHED, False)])
def test_labels_are_seen_only_where_they_are_paid_for(kind: Sample, *, known: bool) -> None:
    """Labelled and enriched samples are the same images, half malignant; only the one has its labels."""
    seen, labels = sample(Row("", "bnfc", kind, 20), TRAINING, SCREENING, lambda each: each.pixels.ravel())
    assert seen.malignant.mean() == 0.5
    assert (labels is not None) == known
    assert labels is None or np.array_equal(labels, seen.malignant)


@given(st.integers(1, 40), st.integers(8, 60), st.integers(2, 9), st.integers(0, 1000))
def test_screened_batches_judge_every_image_once(positives: int, negatives: int, size: int, seed: int) -> None:
    """Each image is judged in exactly one batch, every batch has its size, and no two malignant ones are judged together."""
    malignant = np.arange(positives + negatives) < positives
    batches = screening_batches(malignant, size, np.random.default_rng(seed))
    judged = np.concatenate([first for first, _ in batches])
    assert sorted(judged) == list(range(positives + negatives))
    assert all(len(first) + len(mates) == size for first, mates in batches)
    assert all(malignant[first].sum() <= 1 for first, _ in batches)


def test_mates_are_as_rarely_malignant_as_in_screening() -> None:
    """About 0.5 % of the mates are malignant though half of the images are."""
    malignant = np.arange(4000) % 2 == 0
    mates = np.concatenate([mates for _, mates in screening_batches(malignant, 8, np.random.default_rng(1))])
    assert malignant[mates].mean() == pytest.approx(0.005, abs=0.002)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_every_method_is_a_row_and_every_claim_has_its_rows(preset: Preset) -> None:
    """No method of the registry is left out, no row's name comes twice, and no hypothesis speaks of a row that is not there."""
    found = rows(preset)
    assert {row.method for row in found} == set(METHODS)
    names = [row.name for row in found]
    assert len(names) == len(set(names))
    for hypothesis in hypotheses(preset):
        for claim in hypothesis.claims:
            needed = {term.row for term in claim.terms} if isinstance(claim, Claim) else {claim.row, claim.as_row}
            assert needed <= set(names)
    assert all((row.sample is Sample.LABELLED) == METHODS[row.method].needs_labels for row in found)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_there_are_images_for_every_row(preset: Preset) -> None:
    """The splits are large enough for the largest budget of each kind."""
    for row in rows(preset):
        there = preset.screening_breasts if row.sample in {Sample.SCREENING, Sample.RECALLED} else preset.training_breasts
        assert row.images <= 2 * there


def test_arrays_go_round(tmp_path: Path) -> None:
    """What is written is read, with its type."""
    arrays = {"a": np.arange(3, dtype=np.int16), "b": np.array([True, False])}
    write_arrays(tmp_path / "deep" / "x.npz", arrays)
    read = read_arrays(tmp_path / "deep" / "x.npz")
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[name], arrays[name]) and read[name].dtype == arrays[name].dtype for name in arrays)


def test_a_killed_writer_leaves_no_half_a_file(tmp_path: Path) -> None:
    """Killed again and again while it replaces a file, a writer leaves one that can be read, whole."""
    path = tmp_path / "x.npz"
    write_arrays(path, {"a": np.zeros(10)})
    code = f"import numpy as np\nfrom pathlib import Path\nfrom dosremc_node.network.cache import write_arrays\nprint('.', flush=True)\nn = 0\nwhile True:\n    n += 1\n    write_arrays(Path({str(path)!r}), {{'a': np.full(200_000, n)}})\n"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    deadline = time.monotonic() + 20
    try:
        while read_arrays(path)["a"][0] < 3 and time.monotonic() < deadline:
            pass
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    values = read_arrays(path)["a"]
    assert len(values) == 200_000
    assert len(set(values)) == 1


def test_a_digest_is_of_what_code_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments, docstrings and layout are not part of it; a changed number is."""
    monkeypatch.syspath_prepend(tmp_path)
    digests = []
    for text in ("def f():\n    return 1\n", '"""Doc."""\ndef f():  # why\n    """Doc."""\n\n    return 1\n', "def f():\n    return 2\n"):
        (tmp_path / "digested_module.py").write_text(text)
        code_digest.cache_clear()
        digests.append(code_digest("digested_module"))
    assert digests[0] == digests[1] != digests[2]


def test_a_recipe_is_its_values() -> None:
    """Equal recipes have equal digests in every process; another value gives another."""
    assert recipe_digest(STANDARD, 1) == recipe_digest(replace(STANDARD), 1)
    assert recipe_digest(STANDARD, 1) != recipe_digest(STANDARD, 2)
