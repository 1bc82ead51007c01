"""The release that comes with the program: whole, small, honest about itself, and able to score what it was made for."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest

from dosremc_node.imaging import prepare
from dosremc_node.inference import InferenceEngine, find_findings, folded_batch_norms
from dosremc_node.records import Domain, Laterality, NetworkInput, NetworkOutput, View
from dosremc_node.releases import LoadedRelease, default_shelf
from dosremc_node.settings import SHIPPED_RELEASE, ReleaseSettings
from dosremc_node.simulation import VENDORS, Order, SimulatedImage, simulate_view

MEGABYTES = 1_000_000
SIZE_AT_MOST = 15 * MEGABYTES
WOMEN = range(424_242, 424_252)
BINNING = 4.0


@pytest.fixture(scope="module")
def demonstration() -> LoadedRelease:
    return default_shelf(ReleaseSettings()).load(SHIPPED_RELEASE)


@pytest.fixture(scope="module")
def engine() -> InferenceEngine:
    return InferenceEngine(threads=1)


def domain_of(vendor: str) -> Domain:
    return Domain(f"simulated-{vendor.lower()}")


def seen_by_the_network(
    demonstration: LoadedRelease, order: Order, path: Path, view: View = View.MLO
) -> tuple[NetworkInput, SimulatedImage]:
    """A view of the left breast, by way of a file."""
    image = simulate_view(order, Laterality.LEFT, view)
    path.write_bytes(image.content)
    return prepare(path, demonstration.release.preprocessing, Laterality.LEFT), image


def on_the_lesion(network_input: NetworkInput, output: NetworkOutput, image: SimulatedImage) -> bool:
    """Whether the strongest region overlaps the lesion's disc; its centre must lie on the breast."""
    strongest = find_findings(output, network_input, 0.5)[0]
    column, row = network_input.geometry.to_network(strongest.centre)
    assert network_input.breast[int(row), int(column)]
    assert image.lesion is not None
    inside = cv2.pointPolygonTest(np.array(strongest.outline, np.float32), image.lesion.centre, measureDist=True)
    return inside >= -image.lesion.radius


def test_it_is_whole_and_small() -> None:
    """Every digest is as the manifest says, and all files together stay below 15 MB."""
    shelf = default_shelf(ReleaseSettings())
    shelf.verify(SHIPPED_RELEASE)
    assert sum(path.stat().st_size for path in shelf.load(SHIPPED_RELEASE).folder.rglob("*") if path.is_file()) <= SIZE_AT_MOST


def test_it_says_what_it_is(demonstration: LoadedRelease) -> None:
    """It is marked as a demonstration, its sentence says so, and every simulated vendor has a bank and an operating point."""
    release = demonstration.release
    domains = {domain_of(vendor) for vendor in VENDORS}
    assert release.demonstration
    assert "simulated images, no clinical meaning" in release.statement
    assert release.banks.keys() == domains
    assert domains <= release.operating_points.keys()
    assert len({bank.sha256 for bank in release.banks.values()}) == len(domains)
    assert demonstration.evidence["metrics"]


def test_its_batch_norms_fold(demonstration: LoadedRelease) -> None:
    """Every batch norm that follows a convolution folds: half of a pre-activation network's, which cannot fold more."""
    for domain in demonstration.release.banks:
        folding = folded_batch_norms(demonstration.backbone(), domain, demonstration.bank(domain))
        assert folding.folded >= folding.total // 2


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_it_tells_simulated_cancers(demonstration: LoadedRelease, engine: InferenceEngine, vendor: str, tmp_path: Path) -> None:
    """With the vendor's bank nine of ten views score higher with a cancer than without, and eight of ten strongest regions lie on it."""
    bank, path = demonstration.release.banks[domain_of(vendor)], tmp_path / "view.dcm"
    rises, hits = [], []
    for woman, view in product(WOMEN, (View.CC, View.MLO)):
        healthy, _ = seen_by_the_network(demonstration, Order(woman, VENDORS[vendor], None, BINNING), path, view)
        ill, image = seen_by_the_network(demonstration, Order(woman, VENDORS[vendor], Laterality.LEFT, BINNING), path, view)
        output = engine.score(demonstration, bank, ill)
        rises.append(output.logit > engine.score(demonstration, bank, healthy).logit)
        hits.append(on_the_lesion(ill, output, image))
    assert np.mean(rises) >= 0.9
    assert np.mean(hits) >= 0.8


def test_calibration_keeps_the_order(demonstration: LoadedRelease) -> None:
    """A higher logit is a higher probability with every operating point, and no threshold calls all or nothing positive."""
    for point in demonstration.release.operating_points.values():
        assert point.probability(-1.0) < point.probability(1.0)
        assert 0 < point.threshold < 1


def test_the_bank_matters(demonstration: LoadedRelease, engine: InferenceEngine, tmp_path: Path) -> None:
    """The same image scores differently with each bank, and to the same bits each time with one."""
    seen, _ = seen_by_the_network(demonstration, Order(WOMEN[0], VENDORS["A"], Laterality.LEFT), tmp_path / "view.dcm")
    banks = demonstration.release.banks.values()
    logits = [engine.score(demonstration, bank, seen).logit for bank in banks]
    assert len(set(logits)) == len(banks)
    assert logits == [InferenceEngine(threads=2).score(demonstration, bank, seen).logit for bank in banks]
