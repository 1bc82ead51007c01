"""What a run has gathered and made, in a folder of its own: one that was interrupted goes on with the same exams, whatever has come since.

The digest of what was gathered is what the audit trail names as its data.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from dosremc_node.ledger.exams import AssessedExam
from dosremc_node.ledger.labels import Label
from dosremc_node.recalibration.calibration import Calibration
from dosremc_node.recalibration.candidates import Candidate
from dosremc_node.recalibration.change_plan import ChangeKind
from dosremc_node.recalibration.cohort import Cohort, cohort_of
from dosremc_node.records import Domain, Laterality, OperatingPoint, StudyId, from_json, to_json
from dosremc_node.releases import bank_from_safetensors, bank_to_safetensors

_GATHERED = "gathered.json"


@dataclass(frozen=True, slots=True)
class Gathered:
    """A domain as it stood when the run began: its exams since it scores as it does now, whose they are, and what was known of them.

    ``taken`` is how many exams its scanners took on each day of that time, scored or not. ``reference`` are the frozen exams that it is held against, with the
    operating point under which they were judged. ``shifted``: see `wishes`.
    """

    domain: Domain
    scored_with: Domain
    parent: str
    exams: tuple[AssessedExam, ...]
    women: tuple[int, ...]
    labels: tuple[tuple[StudyId, Laterality, Label], ...]
    taken: dict[date, int]
    reference: tuple[AssessedExam, ...]
    reference_point: OperatingPoint
    shifted: dict[str, date]

    def cohort(self) -> Cohort:
        """The exams with their labels."""
        known = {(study, side): label for study, side, label in self.labels}
        return cohort_of(self.exams, known, dict(zip((exam.study_id for exam in self.exams), self.women, strict=True)))

    def taken_while(self, cohort: Cohort) -> int:
        """How many exams the domain's scanners took on the days of these."""
        first, last = cohort.exams[0].taken_on, cohort.exams[-1].taken_on
        return sum(count for day, count in self.taken.items() if first <= day <= last)

    def reference_cohort(self) -> Cohort:
        """The frozen exams, without labels."""
        return cohort_of(self.reference, {}, {exam.study_id: number for number, exam in enumerate(self.reference)})


@dataclass(frozen=True, slots=True)
class _Kept:
    """A candidate without its bank and its exams, which are those of what was gathered."""

    kind: ChangeKind
    domain: Domain
    scanner_key: str
    operating_points: dict[str, OperatingPoint]
    fitted: tuple[StudyId, ...]
    judged: tuple[StudyId, ...]
    rescored: tuple[float, ...]
    calibration: Calibration | None
    numbers: dict[str, float]


class Dossier:
    """The folder of one run. Files are written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep_gathered(self, gathered: Gathered) -> str:
        """Keep it; answers its digest."""
        content = to_json(gathered).encode()
        self._write(_GATHERED, content)
        return hashlib.sha256(content).hexdigest()

    def gathered(self) -> Gathered:
        """What the run works on."""
        return from_json(Gathered, (self.folder / _GATHERED).read_text(encoding="utf-8"))

    def keep_candidate(self, name: str, candidate: Candidate) -> None:
        """Keep a candidate under a name, such as ``statistics-0``."""
        if candidate.bank is not None:
            self._write(f"{name}.safetensors", bank_to_safetensors(candidate.bank))
        kept = _Kept(
            kind=candidate.kind,
            domain=candidate.domain,
            scanner_key=candidate.scanner_key,
            operating_points=dict(candidate.operating_points),
            fitted=tuple(exam.study_id for exam in candidate.fitted.exams),
            judged=tuple(exam.study_id for exam in candidate.judged.exams),
            rescored=tuple(candidate.rescored.scores.logits.tolist()),
            calibration=candidate.calibration,
            numbers=dict(candidate.numbers),
        )
        self._write(f"{name}.json", to_json(kept).encode())

    def candidate(self, name: str, cohort: Cohort) -> Candidate:
        """The candidate of that name; ``cohort`` is what was gathered."""
        kept = from_json(_Kept, (self.folder / f"{name}.json").read_text(encoding="utf-8"))
        judged = _these(cohort, kept.judged)
        bank = self.folder / f"{name}.safetensors"
        return Candidate(
            kind=kept.kind,
            domain=kept.domain,
            scanner_key=kept.scanner_key,
            operating_points=kept.operating_points,
            bank=bank_from_safetensors(bank.read_bytes(), kept.domain) if bank.exists() else None,
            fitted=_these(cohort, kept.fitted),
            judged=judged,
            rescored=judged.with_logits(np.array(kept.rescored)),
            calibration=kept.calibration,
            numbers=kept.numbers,
        )

    def checkpoint(self, name: str) -> Path:
        """Where a training that is interrupted goes on."""
        return self.folder / f"{name}.checkpoint"

    def remove(self) -> None:
        """The run is through: what it proposed is kept elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f".{name}"
        unfinished.write_bytes(content)
        unfinished.replace(self.folder / name)


def _these(cohort: Cohort, studies: tuple[StudyId, ...]) -> Cohort:
    chosen = set(studies)
    return cohort.where(np.array([exam.study_id in chosen for exam in cohort.exams], np.bool_))
