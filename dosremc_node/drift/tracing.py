"""The traces of a scanner's measured images, each read once: their moments are long, and a scanner is looked at often."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from dosremc_node.drift.moments import LayerDistance, Statistics, Traces, bank_distances, trace
from dosremc_node.drift.period import NO_TRACES
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.moments import MeasuredImage, measured_images
from dosremc_node.records import BatchNormMoments, StudyId

_REMEMBERED = 100
"""Images whose moments are kept as a whole: the latest, of which the distance from the bank is told."""


@dataclass(slots=True)
class TraceBook:
    """What was measured of one scanner under one bank so far."""

    scanner_key: str
    bank_sha256: str
    statistics: Statistics
    last: int = 0
    studies: list[StudyId] = field(default_factory=list)
    traces: Traces = NO_TRACES
    latest: list[BatchNormMoments] = field(default_factory=list)

    def read_on(self, ledger: Ledger) -> None:
        """Take in what was measured since."""
        if measured := measured_images(ledger, self.scanner_key, self.bank_sha256, self.last):
            self._add(measured)

    def _add(self, measured: Sequence[MeasuredImage]) -> None:
        new = trace([each.moments for each in measured], self.statistics)
        known = self.traces.values if self.traces.layers == new.layers else np.empty((0, *new.values.shape[1:]))
        self.traces = Traces(new.layers, np.concatenate([known, new.values]))
        self.studies = [*self.studies, *(each.study_id for each in measured)][-len(self.traces) :]
        self.latest = [*self.latest, *(each.moments for each in measured)][-_REMEMBERED:]
        self.last = measured[-1].number

    def studies_among(self, studies: Collection[StudyId]) -> tuple[StudyId, ...]:
        """The study of each trace that `of` answers."""
        return tuple(study for study in self.studies if study in studies)

    def of(self, studies: Collection[StudyId]) -> Traces:
        """The traces of the images of these studies."""
        chosen = [place for place, study in enumerate(self.studies) if study in studies]
        return Traces(self.traces.layers, self.traces.values[chosen])

    def distances(self) -> dict[str, LayerDistance]:
        """How far the latest images lie from the bank, by layer."""
        return bank_distances(self.latest, self.statistics)
