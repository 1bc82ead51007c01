"""Real scores of one network (Roschewitz et al., Nature Communications 2023): vendor A, the same women after a software update, vendor B.

The tables have neither dates nor sides: "later" is made up, and an exam is a woman with all her images.
"""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dosremc_node.evaluation import calibrated, platt, threshold_at_specificity
from dosremc_node.recalibration import Scores
from dosremc_node.records import OperatingPoint


def real_scores(folder: Path, name: str) -> Scores:
    """One of the tables, women in the order of their numbers: those of A before and after the update have the same."""
    with (folder / f"{name}.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["id"].split("_")[-1]))
    _, exams = np.unique([int(row["id"].split("_")[-1]) for row in rows], return_inverse=True)
    return Scores(
        exams=exams,
        logits=np.array([float(row["logit1"]) - float(row["logit0"]) for row in rows]),
        malignant=np.array([row["malignant"] in {"1", "True"} for row in rows]),
        known=np.ones(len(rows), bool),
        dates=np.zeros(len(rows), "datetime64[D]"),
        weights=np.ones(len(rows)),
    )


def women(scores: Scores, chosen: NDArray[np.intp]) -> Scores:
    """These women, in the order of the table."""
    there = np.zeros(len(scores), bool)
    there[chosen] = True
    return scores.where(there[scores.exams])


def with_cancer(scores: Scores) -> NDArray[np.intp]:
    """The numbers of the women with a malignant image."""
    return np.unique(scores.exams[scores.malignant])


def sample(scores: Scores, events: int, random: np.random.Generator) -> NDArray[np.intp]:
    """So many women with cancer, and as many without as belong to them."""
    cases = with_cancer(scores)
    others = np.setdiff1d(np.arange(len(scores)), cases)
    return np.concatenate(
        [random.choice(cases, events, replace=False), random.choice(others, round(events * len(others) / len(cases)), replace=False)]
    )


def operating_point(reference: Scores, specificity: float = 0.82) -> OperatingPoint:
    """Calibrated on the reference."""
    slope, intercept = platt(reference.logits, reference.malignant)
    point = OperatingPoint(0.5, slope, intercept)
    return OperatingPoint(threshold_at_specificity(calibrated(reference.logits, point), reference.malignant, specificity), slope, intercept)


def write_table(path: Path, parts: list[tuple[str, Scores, date]], exams_a_day: int = 30) -> Path:
    """A table for replay: each part's women in an order of chance (that of the tables is none), so many a day from its first day on."""
    random = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "view_id", "scanner_key", "logit", "label", "label_state", "date"])
        for number, (key, scores, first) in enumerate(parts):
            place = random.permutation(len(scores))
            for image in range(len(scores.logits)):
                exam, malignant = int(place[scores.exams[image]]), bool(scores.malignant[image])
                state = "positive" if malignant else "confirmed negative"
                day = first + timedelta(days=exam // exams_a_day)
                writer.writerow([f"{number}-{exam}", image, key, scores.logits[image], int(malignant), state, day.isoformat()])
    return path
