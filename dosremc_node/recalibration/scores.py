"""Scores with what is known of the truth: what every rule of this room is computed from, whether it comes from the ledger or from a table."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dosremc_node.drift import ExamScores
from dosremc_node.errors import ScoreTableUnreadable
from dosremc_node.evaluation import Values, calibrated
from dosremc_node.records import LabelState, OperatingPoint

COLUMNS = ("case_id", "view_id", "scanner_key", "logit", "label", "label_state", "date")


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """n images of one scanner key, in the order in which they were taken; the images of an exam stand together.

    ``exams`` (n,): the number of each image's exam, from 0 up without a gap. ``logits`` (n,): what the network said, before any
    calibration. ``malignant`` (n,): the image's label. ``known`` (n,): whether the label may be believed: positive, or confirmed negative
    (pending is not negative). ``dates`` (n,): the day of the exam. ``weights`` (n,): one over the probability that the exam's truth
    would be looked for; 1 where all are.
    """

    exams: NDArray[np.intp]
    logits: Values
    malignant: NDArray[np.bool_]
    known: NDArray[np.bool_]
    dates: NDArray[np.datetime64]
    weights: Values

    def __len__(self) -> int:
        """Exams, not images."""
        return int(self.exams[-1]) + 1 if len(self.exams) else 0

    @property
    def events(self) -> int:
        """Exams in which a malignancy is known."""
        return len(np.unique(self.exams[self.malignant & self.known]))

    def where(self, chosen: NDArray[np.bool_]) -> Scores:
        """The images for which ``chosen`` (n,) is true; exams are numbered anew."""
        _, exams = np.unique(self.exams[chosen], return_inverse=True)
        return Scores(exams, self.logits[chosen], self.malignant[chosen], self.known[chosen], self.dates[chosen], self.weights[chosen])

    def exams_between(self, first: int, last: int) -> Scores:
        """The exams numbered ``first`` to ``last``, the last one not."""
        return self.where((self.exams >= first) & (self.exams < last))

    def labelled(self) -> Scores:
        """The images whose label may be believed."""
        return self.where(self.known)

    def with_aligned(self, point: OperatingPoint) -> Scores:
        """The same with the logits that ``point``'s calibration expects."""
        return replace(self, logits=np.array([point.aligned(float(logit)) for logit in self.logits]))

    def exam_scores(self, point: OperatingPoint) -> ExamScores:
        """What drift is told from. ``point`` is the one that was in force where flagging is compared."""
        count = np.bincount(self.exams, minlength=len(self))
        means = np.bincount(self.exams, self.logits, minlength=len(self)) / count
        positive = calibrated(self.logits, point) >= point.threshold
        return ExamScores(means, (np.bincount(self.exams, positive, minlength=len(self)) > 0).astype(np.float64))


# --- Tables -----------------------------------------------------------------------------------------------------------


def read_score_table(path: Path) -> dict[str, Scores]:
    """A CSV table with the columns of `COLUMNS` as scores by scanner key, exams in the order of their dates.

    ``case_id`` names an exam; ``label`` is 1 or 0, empty where unknown; ``label_state`` is one of `LabelState`; ``date`` is ISO 8601.
    Raises `ScoreTableUnreadable`, naming the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := set(COLUMNS) - set(reader.fieldnames or ()):
                raise ScoreTableUnreadable(table=path, line=1, why=f"it has no column {', '.join(sorted(missing))}")
            rows = [_row(path, number, row) for number, row in enumerate(reader, start=2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScoreTableUnreadable(table=path, line=1, why=str(error)) from error
    _one_date_per_exam(path, rows)
    keys = dict.fromkeys(row.scanner_key for row in rows)
    return {key: _scores([row for row in rows if row.scanner_key == key]) for key in keys}


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    case_id: str
    scanner_key: str
    logit: float
    malignant: bool
    known: bool
    day: date


def _row(path: Path, line: int, row: dict[str, str]) -> _Row:
    try:
        state, label, logit = LabelState(row["label_state"]), row["label"].strip(), float(row["logit"])
        if not np.isfinite(logit):
            raise ValueError(f"the logit is {logit}")  # noqa: TRY301 - one place says which line it is
        if label not in {"", "0", "1"}:
            raise ValueError(f"the label is {label!r}, not 0, 1 or empty")  # noqa: TRY301
        known = state in {LabelState.POSITIVE, LabelState.CONFIRMED_NEGATIVE}
        if known and label == "":
            raise ValueError(f"the label is empty and its state {state}")  # noqa: TRY301
        return _Row(line, row["case_id"], row["scanner_key"], logit, label == "1", known, date.fromisoformat(row["date"]))
    except (ValueError, TypeError, AttributeError) as error:
        raise ScoreTableUnreadable(table=path, line=line, why=str(error)) from error


def _one_date_per_exam(path: Path, rows: list[_Row]) -> None:
    seen: dict[tuple[str, str], date] = {}
    for row in rows:
        if seen.setdefault((row.scanner_key, row.case_id), row.day) != row.day:
            raise ScoreTableUnreadable(
                table=path, line=row.line, why="the images of one case have different dates: give each exam a case_id"
            )


def _scores(rows: list[_Row]) -> Scores:
    order = {case: number for number, (_, case) in enumerate(sorted({(row.day, row.case_id) for row in rows}))}
    rows = sorted(rows, key=lambda row: order[row.case_id])
    return Scores(
        exams=np.array([order[row.case_id] for row in rows], np.intp),
        logits=np.array([row.logit for row in rows]),
        malignant=np.array([row.malignant for row in rows]),
        known=np.array([row.known for row in rows]),
        dates=np.array([row.day for row in rows], "datetime64[D]"),
        weights=np.ones(len(rows)),
    )
