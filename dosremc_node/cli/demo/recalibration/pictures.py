"""The pictures of the story: how many exams were flagged at each stage, and how the three banks rank the same later exams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dosremc_node import imaging
from dosremc_node.artifacts import ArtifactKind, derived_key
from dosremc_node.cli.demo.recalibration.exams import Batch
from dosremc_node.cli.demo.recalibration.vendor import DOMAIN
from dosremc_node.evaluation import Labels, Values, share
from dosremc_node.evaluation.plots import COLOURS, draw_roc
from dosremc_node.ledger.exams import AssessedExam, assessed_exams
from dosremc_node.ledger.overview import find_study
from dosremc_node.network import import_backbone, put_bank
from dosremc_node.network.scoring import logits
from dosremc_node.node import Node
from dosremc_node.recalibration.live_images import LiveImages
from dosremc_node.records import Domain, Laterality

TESTED = 300
"""Later exams that the banks are compared on."""


def draw_pictures(build: Path, node: Node, batches: Mapping[str, Batch], releases: Mapping[str, str]) -> None:
    """Write ``flagged.png`` and ``roc.png``."""
    taken = {name: _exams(node, batch) for name, batch in batches.items()}
    _draw_flagged(build / "flagged.png", taken)
    tested = taken["E, fine-tuned"][:TESTED]
    banks = {
        "A's bank": (releases["E, scored with A's bank"], Domain("simulated-a")),
        "own statistics": (releases["E, own statistics"], Domain(DOMAIN)),
        "fine-tuned": (releases["E, fine-tuned"], Domain(DOMAIN)),
    }
    malignant = _malignant(node, batches["E, fine-tuned"], tested)
    curves = {name: [(_scores(node, *bank, tested), malignant)] for name, bank in banks.items()}
    draw_roc(build / "roc.png", f"{len(tested)} later exams of E, image by image", curves)


def _exams(node: Node, batch: Batch) -> Sequence[AssessedExam]:
    vendor = batch.vendor
    key = f"{vendor.manufacturer} / {vendor.model} / {vendor.software_version}"
    last = batch.day(batch.count - 1)
    return assessed_exams(node.ledger, scanner_key=key, since=batch.first_day, until=last + timedelta(days=1))


def _malignant(node: Node, batch: Batch, exams: Sequence[AssessedExam]) -> Labels:
    """Of each image, whether its breast has the cancer."""
    orders = (batch.order(number) for number in range(batch.count))
    sides = {find_study(node.ledger, order.uid("study")): order.malignant for order in orders}
    return np.array([sides.get(exam.study_id) is image.laterality for exam in exams for image in exam.images], np.bool_)


def _draw_flagged(path: Path, taken: Mapping[str, Sequence[AssessedExam]]) -> None:
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for place, exams in enumerate(taken.values()):
        found = share(sum(any(image.positive for image in exam.images) for exam in exams), len(exams))
        error = [[100 * (found.value - found.low)], [100 * (found.high - found.value)]]
        axes.bar(place, 100 * found.value, yerr=error, color=COLOURS[place], width=0.65, capsize=4)
        axes.text(place, 100 * found.high + 1, f"{found.value:.0%} of {len(exams)}", ha="center", fontsize=9)
    axes.set_xticks(range(len(taken)), [name.replace(", ", ",\n") for name in taken], fontsize=9)
    axes.set_ylabel("Exams with a flagged image, %")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _scores(node: Node, release_id: str, domain: Domain, exams: Sequence[AssessedExam]) -> Values:
    loaded = node.shelf.load(release_id)
    network = import_backbone(loaded.backbone())
    put_bank(network, loaded.bank(domain), domain)

    def read(sha256: str, _: Laterality) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        key = derived_key(ArtifactKind.INPUT, f"{sha256}-{loaded.release.preprocessing_sha256}")
        return imaging.decode_input(node.store.read(key)).pixels

    return logits(network, LiveImages([(image.sha256, image.laterality) for exam in exams for image in exam.images], read))
