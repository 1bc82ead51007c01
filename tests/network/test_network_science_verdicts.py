"""Verdicts and texts from planted scores: what is true of them is said, what is not is denied, and no word departs from the numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dosremc_node.evaluation import roc_auc
from dosremc_node.network.science.hypotheses import Claim, Verdict, decide, hypotheses
from dosremc_node.network.science.measuring import Level, Measures, Transfer, at, mean
from dosremc_node.network.science.presets import STANDARD
from dosremc_node.network.science.rows import rows
from dosremc_node.network.science.table import table
from dosremc_node.network.science.text import hypotheses_text, sentence, table_text

VENDORS = ("A", "B", "C")
BREASTS = 120
PRESET = replace(STANDARD, seeds=4)

World = Callable[[Transfer, str], tuple[float, float]]
"""How far apart a row's scores of a vendor's malignant and other breasts are, and how far all of them are moved."""


def as_said(transfer: Transfer, scored: str) -> tuple[float, float]:
    """A world in which every hypothesis is true."""
    row, inside, on_target = transfer.row, transfer.source == transfer.target, scored == transfer.target
    if inside or (row.startswith("domain_banks") and scored == transfer.source):
        return (1.6, 0.0) if row.startswith("batch_statistics_8") else (3.0, 0.0)
    if row in {"unadapted", "domain_banks_500"} and scored != transfer.source and (row == "unadapted" or not on_target):
        return (1.2, 0.0)
    if not on_target:
        known = 3.0 if scored == transfer.source else 1.2
        return {"unadapted": (known, 0.0), "bnfc_500": (0.4, 0.0), "full_500": (0.3, 0.0), "dann_bnfc_500": (1.6, 0.0)}.get(
            row, (known, 0.0)
        )
    if "enriched" in row or "recalled" in row:
        return (1.5, 0.8)
    return (0.6, -3.0) if row == "tent_1000_screening" else (2.2, 0.0)


def changed(row: str, to: tuple[float, float], when: Callable[[Transfer, str], bool] = lambda _transfer, _scored: True) -> World:
    """The same world but for one row."""
    return lambda transfer, scored: to if transfer.row == row and when(transfer, scored) else as_said(transfer, scored)


def measures_of(world: World, validation_moved: float = 0.0) -> Measures:
    """Scores drawn from a world; every row sees the same noise, so that rows differ by what is planted."""
    labels = {vendor: [np.arange(BREASTS) % 2 == 0] * PRESET.seeds for vendor in VENDORS}

    def scores(transfer: Transfer, seed: int) -> dict[str, NDArray[np.float64]]:
        drawn = {vendor: _draw(world(transfer, vendor), [seed, place]) for place, vendor in enumerate(VENDORS)}
        validation = _draw(world(transfer, transfer.target), [seed, 9]) + validation_moved
        return {**drawn, "validation": validation, "seconds": np.array([1.5])}

    return Measures(scores, labels, labels, resamples=200)


def _draw(planted: tuple[float, float], seed: list[int]) -> NDArray[np.float64]:
    apart, moved = planted
    noise = np.repeat(np.random.default_rng(seed).normal(size=BREASTS), 2)
    return np.asarray(noise + apart * np.repeat(np.arange(BREASTS) % 2 == 0, 2) + moved)


def verdicts_in(world: World) -> list[Verdict]:
    return decide(measures_of(world), hypotheses(PRESET))


def test_where_everything_is_true_everything_held() -> None:
    """Each hypothesis held, the text says so, and denies none."""
    verdicts = verdicts_in(as_said)
    assert [verdict.words for verdict in verdicts] == ["held"] * 8
    text = hypotheses_text(verdicts, "The rule.")
    assert text.count("**It held**") == 8
    assert "Does not hold" not in text


def across(transfer: Transfer, _scored: str) -> bool:
    return transfer.source != transfer.target


def inside(transfer: Transfer, _scored: str) -> bool:
    return transfer.source == transfer.target


FALSE = [
    (1, changed("unadapted", (3.0, 0.0), across)),
    (2, changed("batch_statistics_8", (3.0, 0.0), inside)),
    (2, changed("batch_statistics_8_screening", (3.2, 0.0), inside)),
    (3, changed("adabn_200", (1.3, 0.0))),
    (4, changed("bnfc_500", (1.4, 0.0), lambda transfer, scored: scored == transfer.target)),
    (4, changed("bnfc_100", (1.4, 0.0))),
    (5, changed("bnfc_500", (3.0, 0.0), lambda transfer, scored: scored == transfer.source)),
    (5, changed("full_500", (1.2, 0.0), lambda transfer, scored: scored not in {transfer.source, transfer.target})),
    (5, changed("domain_banks_500", (3.0 + 1e-12, 0.0), lambda transfer, scored: scored == transfer.source)),
    (6, changed("dann_bnfc_500", (0.5, 0.0), lambda transfer, scored: scored not in {transfer.source, transfer.target})),
    (7, changed("adabn_200_enriched", (2.2, 0.8))),
    (7, changed("adabn_200_recalled", (1.5, 0.0))),
    (8, changed("tent_1000_screening", (2.2, -3.0))),
    (8, changed("tent_1000_screening", (0.6, 3.0))),
]


@pytest.mark.parametrize(("number", "world"), FALSE)
def test_what_is_false_is_said_to_be(number: int, world: World) -> None:
    """One planted exception brings down its own hypothesis; the text denies it and names the claim that failed."""
    verdicts = verdicts_in(world)
    false = verdicts[number - 1]
    assert not false.held
    assert false.words in {"held in part", "did not hold"}
    text = hypotheses_text(verdicts, "The rule.")
    section = text.split(f"## {number}. ")[1].split("\n## ")[0]
    assert f"**It {false.words}**" in section
    assert section.count("- Does not hold:") == sum(not false.holds(finding) for finding in false.findings) > 0
    assert f"{number}. **{false.words}**: {false.hypothesis.says}" in text


def test_a_world_without_differences_holds_nothing_that_needs_one() -> None:
    """Where all rows score alike nothing is called a gain, a loss or a collapse; only what claims closeness or sameness may hold."""
    verdicts = verdicts_in(lambda _transfer, _scored: (2.0, 0.0))
    assert [verdict.words for verdict in verdicts] == [
        "did not hold", "did not hold", "did not hold", "held", "held in part", "held in part", "did not hold", "did not hold",
    ]  # fmt: skip


def test_holm_runs_over_the_hypotheses() -> None:
    """A hypothesis is as sure as its weakest claim, and the weakest hypothesis of eight is not corrected."""
    verdicts = verdicts_in(changed("bnfc_100", (2.1, 0.0)))
    weakest = sorted(max(finding.p for finding in verdict.findings) for verdict in verdicts)
    adjusted = sorted(verdict.p_holm for verdict in verdicts)
    assert adjusted[0] == pytest.approx(min(1.0, 8 * weakest[0]))
    assert adjusted[-1] >= weakest[-1]


def test_sentences_carry_their_numbers() -> None:
    """The difference, its limits and the count of seeds in a sentence are those of its finding."""
    for verdict in verdicts_in(as_said):
        for finding in verdict.findings:
            if isinstance(finding.claim, Claim):
                assert finding.quantity is not None
                value, low, high = (float(number) for number in re.findall(r"[+-]\d\.\d{3}", sentence(finding))[:3])
                judged = finding.quantity.judged.estimate
                assert (value, low, high) == pytest.approx((judged.value, judged.low, judged.high), abs=6e-4)
                assert f"in {PRESET.seeds} of {PRESET.seeds} seeds" in sentence(finding)
                continue
            assert f"0 of {finding.compared:,} scores differ" in sentence(finding)


def test_the_table_has_every_row_with_intervals() -> None:
    """Each row from each vendor to each other at both levels, in its domain where it is measured there; figures are those of the scores."""
    measures = measures_of(as_said)
    some = [row for row in rows(PRESET) if row.name in {"unadapted", "bnfc_500"}]
    entries = table(measures, some)
    keys = [(entry["method"], entry["source"], entry["target"], entry["level"]) for entry in entries]
    assert len(set(keys)) == len(keys) == 2 * (9 + 6)
    for entry in entries:
        scored = measures.test_scores(Transfer(entry["method"], entry["source"], entry["target"]), entry["target"], Level(entry["level"]))
        labels = measures.test_labels(entry["target"], Level(entry["level"]))
        expected = np.mean([roc_auc(*pair) for pair in zip(scored, labels, strict=True)])
        assert entry["roc_auc"]["value"] == pytest.approx(expected, abs=1e-4)
        assert entry["roc_auc"]["low"] < entry["roc_auc"]["value"] < entry["roc_auc"]["high"]
        assert entry["pr_auc"]["low"] < entry["pr_auc"]["value"] < entry["pr_auc"]["high"]
        assert entry["n"] == PRESET.seeds * BREASTS * (2 if entry["level"] == "image" else 1)
        assert ("roc_auc_on_source" in entry) == (entry["source"] != entry["target"])
    text = table_text(entries, VENDORS)
    assert all(f"### From {source} to {target}" in text for source in VENDORS for target in VENDORS if source != target)
    assert all(
        f"{entry['roc_auc']['value']:.3f} ({entry['roc_auc']['low']:.3f} to {entry['roc_auc']['high']:.3f})" in text for entry in entries
    )


def test_forgetting_is_measured_where_it_happens() -> None:
    """The columns of source and unseen vendors are the adapted network's figures on their test cases."""
    measures = measures_of(as_said)
    (entry,) = [
        entry
        for entry in table(measures, [row for row in rows(PRESET) if row.name == "bnfc_500"])
        if (entry["source"], entry["target"], entry["level"]) == ("A", "B", "breast")
    ]
    for key, scored in (("roc_auc_on_source", "A"), ("roc_auc_on_unseen", "C")):
        pairs = zip(measures.test_scores(Transfer("bnfc_500", "A", "B"), scored), measures.test_labels(scored), strict=True)
        assert entry[key]["value"] == pytest.approx(np.mean([roc_auc(*pair) for pair in pairs]), abs=1e-4)


def test_the_carried_threshold_is_the_sources() -> None:
    """Scores that are all moved up lose specificity at the carried threshold and keep it at the target's own."""
    moved = changed("unadapted", (2.0, 1.5), across)
    (entry,) = [
        entry
        for entry in table(measures_of(moved), [row for row in rows(PRESET) if row.name == "unadapted"])
        if (entry["source"], entry["target"], entry["level"]) == ("A", "B", "breast")
    ]
    assert entry["carried_threshold"]["specificity"]["value"] < 0.5
    assert entry["own_threshold"]["specificity"]["value"] == pytest.approx(0.9, abs=0.06)
    assert entry["carried_calibration"]["expected_over_observed"]["value"] > 1.2


def test_no_threshold_and_no_calibration_is_taken_on_test_cases() -> None:
    """Where validation scores lie far above the test scores, every threshold spares all test cases and every calibration expects none."""
    measures = measures_of(as_said, validation_moved=20)
    for entry in table(measures, [row for row in rows(PRESET) if row.name == "unadapted"]):
        for kind in ("own_threshold", "carried_threshold"):
            assert (entry[kind]["sensitivity"]["value"], entry[kind]["specificity"]["value"]) == (0.0, 1.0)
        assert entry["carried_calibration"]["expected_over_observed"]["value"] < 0.01


def test_figures_that_are_averaged_are_resampled_together() -> None:
    """The mean of a quantity and its negative is nothing, in every resample."""
    measures = measures_of(as_said)
    one = measures.quantity(lambda scores, _, weights: weights @ scores, measures.test_scores(Transfer("unadapted", "A", "B"), "B"), "B")
    assert not mean([one, one.times(-1)]).resampled.any()


def test_a_breast_is_the_mean_of_its_images() -> None:
    """Two images in a row are one breast."""
    assert at(Level.BREAST, np.array([1.0, 3.0, 0.0, 1.0])).tolist() == [2.0, 0.5]
