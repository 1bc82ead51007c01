"""How the demonstration's page shows a view: every vendor's image hangs the same way, and what lies over it lies right."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread

from dosremc_node.cli.demo.pictures import hanging, heat_map, moved, picture
from dosremc_node.records import InputGeometry, Laterality, NetworkInput, View
from dosremc_node.simulation import VENDORS, Order, SimulatedImage, simulate_view

BINNING = 6.0


def view(vendor: str, laterality: Laterality, kind: View) -> SimulatedImage:
    return simulate_view(Order(7, VENDORS[vendor], laterality, BINNING), laterality, kind)


@pytest.mark.parametrize("vendor", sorted(VENDORS))
@pytest.mark.parametrize("laterality", Laterality)
@pytest.mark.parametrize("kind", [View.CC, View.MLO])
def test_breasts_hang_back_to_back(vendor: str, laterality: Laterality, kind: View) -> None:
    """However a unit stores it, the chest wall of the right breast is shown on the right and that of the left on the left."""
    dataset = dcmread(BytesIO(view(vendor, laterality, kind).content))
    columns = picture(dataset, *hanging(dataset)).mean(axis=0)
    third = len(columns) // 3
    left, right = columns[:third].mean(), columns[-third:].mean()
    assert (left > 2 * right) if laterality is Laterality.LEFT else (right > 2 * left)


@pytest.mark.parametrize("laterality", Laterality)
@pytest.mark.parametrize("kind", [View.CC, View.MLO])
def test_one_lesion_is_shown_in_one_place(laterality: Laterality, kind: View) -> None:
    """The same woman's lesion is shown at the same place of the breast, whichever unit made the image."""
    places = []
    for vendor in sorted(VENDORS):
        image = view(vendor, laterality, kind)
        assert image.lesion is not None
        to_shown, (width, height) = hanging(dcmread(BytesIO(image.content), stop_before_pixels=True))
        [(x, y)] = moved([image.lesion.centre], to_shown)
        places.append((x / width, y / height))
    assert np.ptp(np.asarray(places), axis=0).max() < 0.05


def test_the_heat_map_lies_where_the_network_looked() -> None:
    """A hot spot of the saliency map is shown at the point of the image that the network's geometry names."""
    dataset = dcmread(BytesIO(view("C", Laterality.RIGHT, View.CC).content), stop_before_pixels=True)
    to_shown, size = hanging(dataset)
    geometry = InputGeometry(a=-2.0, b=0.0, c=dataset.Columns - 20.0, d=0.0, e=2.0, f=30.0)
    seen = NetworkInput(np.zeros((160, 80), np.float32), np.ones((160, 80), bool), geometry, int(dataset.Rows), int(dataset.Columns))
    saliency = np.zeros((40, 20), np.float32)
    saliency[10, 5] = 1.0
    [(x, y)] = moved([geometry.to_image((5.5 * 4, 10.5 * 4))], to_shown)
    rows, columns = np.nonzero(heat_map(saliency, seen, to_shown, size)[..., 3])
    assert np.hypot(columns.mean() + 0.5 - x, rows.mean() + 0.5 - y) < 1
