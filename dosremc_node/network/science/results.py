"""The benchmark from end to end: make what is missing, measure, decide, and write the folder of results."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dosremc_node.network.banks import bank_of
from dosremc_node.network.resnet22 import SaliencyResNet
from dosremc_node.network.science import hypotheses
from dosremc_node.network.science.cells import Cell
from dosremc_node.network.science.cohorts import Cohort, Split, chosen_vendors
from dosremc_node.network.science.hypotheses import Verdict, decide
from dosremc_node.network.science.measuring import Measures, Transfer
from dosremc_node.network.science.pictures import draw_all
from dosremc_node.network.science.presets import Preset
from dosremc_node.network.science.rows import rows
from dosremc_node.network.science.table import Entry, table
from dosremc_node.network.science.text import SIMULATED, hypotheses_text, table_text
from dosremc_node.network.science.work import Progress, all_cells, make_all
from dosremc_node.simulation import SIMULATION_VERSION, VENDORS, simulation_sha256


@dataclass(frozen=True, slots=True)
class Results:
    """What was written, and where."""

    folder: Path
    entries: list[Entry]
    verdicts: list[Verdict]


def run_science(preset: Preset, out: Path, *, processes: int, progress: Progress = lambda _what, _share: None) -> Results:
    """Run the benchmark and write its results into ``out``. What an earlier run made, even one that was killed, is used again."""
    start = time.monotonic()
    make_all(preset, out / "cache", processes, progress)
    measures = measures_of(preset, out / "cache")
    progress("measuring", 0.0)
    entries, verdicts = table(measures, rows(preset)), decide(measures, hypotheses.hypotheses(preset))
    pictures = draw_all(measures, preset, out)
    _write(out / "table.json", json.dumps(entries, indent=1))
    _write(out / "table.md", table_text(entries, measures.vendors))
    _write(out / "hypotheses.md", hypotheses_text(verdicts, hypotheses.__doc__ or "", [bank_share(preset)]))
    _write(out / "README.md", _readme(preset, pictures, processes, time.monotonic() - start))
    progress("measuring", 1.0)
    return Results(out, entries, verdicts)


def measures_of(preset: Preset, folder: Path) -> Measures:
    """The cells' scores with the labels of the breasts that they are about."""
    cells = {(Transfer(cell.row.name, cell.source, cell.target), cell.seed): cell for cell in all_cells(preset, folder)}

    @cache
    def scores(transfer: Transfer, seed: int) -> dict[str, NDArray[np.float64]]:
        cell: Cell = cells[transfer, preset.seed_numbers[seed]]
        return cell.scores()

    def labels(split: Split) -> dict[str, list[NDArray[np.bool_]]]:
        return {
            vendor: [Cohort(preset, vendor, seed).malignant(split) for seed in preset.seed_numbers] for vendor in chosen_vendors(preset)
        }

    return Measures(scores, labels(Split.TEST), labels(Split.VALIDATION), preset.resamples)


def bank_share(preset: Preset) -> str:
    """How much of the network BNFC trains."""
    network = SaliencyResNet(preset.network)
    everything = sum(parameter.numel() for parameter in network.parameters())
    learning = sum(values.size for name, values in bank_of(network).items() if "running" not in name)
    return f"BNFC trains {learning:,} of this network's {everything:,} parameters, {learning / everything:.1%}."


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _readme(preset: Preset, pictures: list[Path], processes: int, seconds: float) -> str:
    vendors = chosen_vendors(preset)
    left_out = [vendor for vendor in VENDORS if vendor not in vendors]
    sizes = "\n".join(f"| {field.name} | {getattr(preset, field.name)} |" for field in fields(preset))
    return README.format(
        simulated=SIMULATED,
        pictures="\n".join(f"| `{path.name}` | {_caption(path)} |" for path in pictures),
        vendors=", ".join(vendors),
        left_out=f" Left out for want of time: {', '.join(left_out)}." if left_out else "",
        preset=preset.name,
        sizes=sizes,
        version=SIMULATION_VERSION,
        sha256=simulation_sha256(),
        processes=processes,
        minutes=f"{seconds / 60:.1f}",
    )


def _caption(path: Path) -> str:
    kind, source, target = path.stem.split("-")
    what = "ROC curves" if kind == "roc" else "reliability curves, calibrated where the network was trained,"
    return f"{what} from {source} to {target}"


README = """# The benchmark's results

{simulated}

| file | holds |
|---|---|
| `hypotheses.md` | what was asked, the rule, the numbers, whether it held |
| `table.md` | the table for people |
| `table.json` | the table for programs: a list of objects, see below |
{pictures}
| `cache/` | images, networks and scores by the digest of what made them; a run that is stopped goes on from there |

## How it was made

- Vendors: {vendors}.{left_out} Simulation version {version}, SHA-256 `{sha256}`.
- In each seed every vendor has breasts of its own for training, screening, validation and test, and a network trained on it alone, with the
  lesions' places. Adaptation sees images of the target, with their labels or without, and never a lesion's place.
- Training, validation and test are half malignant; the screening sample is 0.5 % malignant. A breast's score is the mean of its two images'
  logits.
- Every figure is a mean over seeds. Its interval comes from resampling whole seeds, and in each seed that was drawn its test breasts,
  malignant and others apart, both images with their breast; it is Student's t with one degree of freedom less than there are seeds times
  the deviation of the resampled figures. All figures are resampled alike, so their differences are paired.
- Thresholds and calibration come from validation breasts: `own_threshold` from the target's, `carried_threshold` and
  `carried_calibration` from the source's, scored before adaptation. Intervals of calibration are Student's over seeds.

The preset `{preset}`; the last call took {minutes} minutes with {processes} processes, without what was in the cache before.

| what | how many |
|---|---|
{sizes}

## table.json

`method`, `source`, `target`, `level` (`breast` or `image`) name an entry; `base_method` is the method without its budget and sample; `n` counts its test cases, `malignant` those of them that are.
`roc_auc`, `pr_auc` (on the target's test cases), `roc_auc_above_unadapted` (paired, with `p`), `roc_auc_on_source`, `roc_auc_on_unseen` (the same
network on the vendor that it came from and on those that it never saw), `own_threshold` and `carried_threshold` (`sensitivity` and `specificity` at
90 % specificity in validation) and `carried_calibration` have `value`, `low` and `high`. `seconds`: what the adaptation took. Where source and
target are the same, the network stays in its domain.
"""
