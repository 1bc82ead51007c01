"""Live exams of toy images: what recalibration sees of a scanner, without a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from dosremc_node.errors import ArtifactMissing
from dosremc_node.ledger.exams import AssessedExam, ScoredView
from dosremc_node.ledger.labels import Label
from dosremc_node.network.examples import Examples
from dosremc_node.records import Domain, LabelState, Laterality, StudyId, View
from harness.toys import toy_examples

SIDES_AND_VIEWS = tuple((side, view) for side in Laterality for view in (View.CC, View.MLO))
FIRST_DAY = date(2026, 1, 1)
EXAMS_A_DAY = 60


@dataclass(frozen=True, slots=True, eq=False)
class ToyScanner:
    """Exams of four images each; the malignant ones have a bright spot in both views of the left breast."""

    exams: tuple[AssessedExam, ...]
    labels: Mapping[tuple[StudyId, Laterality], Label]
    pixels: Mapping[str, NDArray[np.float16]]

    def read(self, sha256: str, side: Laterality) -> NDArray[np.float32]:  # noqa: ARG002
        """The network input; raises `ArtifactMissing`."""
        if sha256 not in self.pixels:
            raise ArtifactMissing(key=sha256)
        return self.pixels[sha256].astype(np.float32)

    @property
    def women(self) -> dict[StudyId, int]:
        """Each exam another woman's."""
        return {exam.study_id: number for number, exam in enumerate(self.exams)}


def toy_scanner(
    count: int,
    logits: Callable[[Examples], NDArray[np.float64]],
    *,
    seed: int,
    contrast: float = 1.0,
    offset: float = 0.0,
    malignant: float = 0.1,
    spot: float = 4.0,
    scanner_key: str = "Maker / Model / 1",
    domain: str = "maker",
    in_shadow: bool = False,
) -> ToyScanner:
    """``count`` exams, as ``logits`` scores their images; ``malignant`` is the share of exams with a cancer."""
    random = np.random.default_rng(seed)
    cancers = set(random.choice(count, round(count * malignant), replace=False).tolist())
    spots = toy_examples(seed, 2 * len(cancers), contrast=contrast, offset=offset, malignant=1.0, spot=spot).pixels
    plain = toy_examples(seed + 1, 4 * count - len(spots), contrast=contrast, offset=offset, malignant=0.0).pixels
    malignant_ones, healthy = iter(spots), iter(plain)
    pixels = np.stack([next(malignant_ones if e in cancers and i < 2 else healthy) for e in range(count) for i in range(4)])
    found = logits(Examples(pixels, np.zeros(len(pixels), np.bool_), np.full((len(pixels), 3), np.nan, np.float32)))
    digests = [f"{seed:08x}{place:056x}" for place in range(len(pixels))]
    exams = tuple(
        AssessedExam(
            study_id=StudyId(f"S-{seed}-{number}"),
            scanner_key=scanner_key,
            domain=Domain(domain),
            release_id="parent",
            bank_sha256="b" * 64,
            taken_on=FIRST_DAY + timedelta(days=number // EXAMS_A_DAY),
            age=60,
            in_shadow=in_shadow,
            positive=False,
            images=tuple(
                ScoredView(digests[4 * number + place], side, view, float(found[4 * number + place]), positive=False)
                for place, (side, view) in enumerate(SIDES_AND_VIEWS)
            ),
        )
        for number in range(count)
    )
    since = datetime(2026, 6, 1, tzinfo=UTC)
    labels = {
        (exam.study_id, side): Label(
            LabelState.POSITIVE if number in cancers and side is Laterality.LEFT else LabelState.CONFIRMED_NEGATIVE, None, since
        )
        for number, exam in enumerate(exams)
        for side in Laterality
    }
    return ToyScanner(exams, labels, dict(zip(digests, pixels, strict=True)))
