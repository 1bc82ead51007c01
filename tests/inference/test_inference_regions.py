"""Regions lie on the breast and on the image, there is one wherever one is wanted, and their places are right."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dosremc_node.inference import decode_saliency, encode_saliency, find_findings
from dosremc_node.records import Finding, InputGeometry, NetworkInput, NetworkOutput

Array = NDArray[np.float32]
IDENTITY = InputGeometry(1, 0, 0, 0, 1, 0)


def network_input(breast: NDArray[np.bool_], geometry: InputGeometry = IDENTITY, rows: int = 0, columns: int = 0) -> NetworkInput:
    height, width = breast.shape
    return NetworkInput(np.zeros(breast.shape, np.float32), breast, geometry, rows or height, columns or width)


def blob(shape: tuple[int, int], *spots: tuple[float, float, float]) -> Array:
    """Gaussian spots (row, column, height) of 3 cells' width."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    spot_maps = [height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 18) for row, column, height in spots]
    result: Array = np.max([np.zeros(shape), *spot_maps], axis=0).astype(np.float32)
    return result


def pixel_at(finding_point: tuple[float, float], geometry: InputGeometry) -> tuple[int, int]:
    x, y = geometry.to_network(finding_point)
    return int(np.floor(y)), int(np.floor(x))


@st.composite
def cases(draw: st.DrawFn) -> tuple[NetworkOutput, NetworkInput]:
    """Any saliency, on any breast of at least one pixel, under any flip, turn, scale and crop."""
    height, width = draw(st.integers(4, 40)), draw(st.integers(4, 40))
    breast = draw(hnp.arrays(np.bool_, (height, width), elements=st.booleans(), fill=st.booleans()))
    breast[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    if draw(st.booleans()):
        breast = cv2.dilate(breast.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(np.bool_)
    cells = draw(st.tuples(st.integers(1, height), st.integers(1, width)))
    saliency = draw(hnp.arrays(np.float32, cells, elements=st.floats(0, 1, width=32)))
    scale = draw(st.sampled_from([0.5, 1.0, 3.7, 8.0]))
    flip_x, flip_y, turned = (draw(st.booleans()) for _ in range(3))
    across, along = (-scale if flip_x else scale), (-scale if flip_y else scale)
    left, top = (scale * width if flip_x else 0.0) + 11, (scale * height if flip_y else 0.0) + 7
    geometry = InputGeometry(0, along, top, across, 0, left) if turned else InputGeometry(across, 0, left, 0, along, top)
    big = int(scale * max(height, width)) + 20
    return NetworkOutput(0.0, saliency), network_input(breast, geometry, rows=big, columns=big)


@given(cases())
@settings(max_examples=300, deadline=None)
def test_regions_are_on_the_breast(case: tuple[NetworkOutput, NetworkInput]) -> None:
    """One to three regions, strongest first; each closed, small enough to draw, every corner and the centre on the breast."""
    output, seen = case
    findings = find_findings(output, seen, 0.8)

    assert 1 <= len(findings) <= 3
    assert findings[0].probability == 0.8
    assert [finding.probability for finding in findings] == sorted((finding.probability for finding in findings), reverse=True)
    for finding in findings:
        assert finding.outline[0] == finding.outline[-1]
        assert 4 <= len(finding.outline) <= 61
        assert len(set(finding.outline)) >= 3
        for point in (*finding.outline, finding.centre):
            assert seen.breast[pixel_at(point, seen.geometry)], point
            assert 0 <= point[0] <= seen.columns
            assert 0 <= point[1] <= seen.rows


@pytest.mark.parametrize("flip", [1, -1])
def test_a_spot_is_found_where_it_is(flip: int) -> None:
    """The region of a spot is centred on it in the stored image, has its width at half maximum, and some twenty points."""
    geometry = InputGeometry(flip * 4, 0, 700 if flip < 0 else 100, 0, 4, 50)
    seen = network_input(np.ones((160, 120), np.bool_), geometry, rows=800, columns=800)
    (finding,) = find_findings(NetworkOutput(0.0, blob((40, 30), (12, 9, 0.9))), seen, 0.7)

    expected = geometry.to_image((9.5 * 4, 12.5 * 4))
    assert finding.centre == pytest.approx(expected, abs=4)
    radii = [np.hypot(x - expected[0], y - expected[1]) for x, y in finding.outline]
    half_maximum = 3 * np.sqrt(2 * np.log(2)) * 4 * 4
    assert radii == pytest.approx([half_maximum] * len(radii), rel=0.15)
    assert 8 <= len(finding.outline) <= 40


def test_what_is_off_the_breast_does_not_count() -> None:
    """A stronger spot on the background, such as a label, neither becomes a region nor hides the one on the breast."""
    breast = np.zeros((60, 60), np.bool_)
    breast[:, :30] = True
    (finding,) = find_findings(NetworkOutput(0.0, blob((60, 60), (30, 12, 0.2), (10, 50, 1.0))), network_input(breast), 0.6)
    assert finding.centre == pytest.approx((12.5, 30.5), abs=1)


def test_the_three_strongest_in_order() -> None:
    """Of five spots three are reported, strongest first, and what is below half of the strongest never is."""
    spots = [(10, 10, 0.55), (10, 50, 0.8), (50, 10, 0.7), (50, 50, 0.6), (30, 30, 0.3)]
    seen = network_input(np.ones((60, 60), np.bool_))
    findings = find_findings(NetworkOutput(0.0, blob((60, 60), *spots)), seen, 0.4)
    faint = find_findings(NetworkOutput(0.0, blob((60, 60), (10, 50, 0.8), (30, 30, 0.3))), seen, 0.4)

    assert [finding.centre for finding in findings] == [(50.5, 10.5), (10.5, 50.5), (50.5, 50.5)]
    assert [finding.probability for finding in findings] == pytest.approx([0.4, 0.4 * 7 / 8, 0.4 * 6 / 8], rel=1e-3)
    assert [finding.centre for finding in faint] == [(50.5, 10.5)]


def test_a_crescent_has_its_centre_on_itself() -> None:
    """Where the middle of a region lies beside it, its strongest point is its centre."""
    rows, columns = np.mgrid[:60, :60]
    distance = np.hypot(rows - 30, columns - 30)
    ring = ((distance > 15) & (distance < 22)).astype(np.float32)
    ring[30, 49] = 1.0
    ring[ring > 0] -= 0.1
    (finding,) = find_findings(NetworkOutput(0.0, ring), network_input(np.ones((60, 60), np.bool_)), 0.6)
    assert 15 < np.hypot(finding.centre[0] - 30.5, finding.centre[1] - 30.5) < 22


def test_padding_is_drawn_back_to_the_image() -> None:
    """Where the input is padded beyond the stored image, outlines end at the image's edge."""
    seen = network_input(np.ones((20, 20), np.bool_), InputGeometry(1, 0, -8, 0, 1, -8), rows=8, columns=8)
    (finding,) = find_findings(NetworkOutput(0.0, np.ones((20, 20), np.float32)), seen, 0.6)
    assert {0.0, 8.0} <= {coordinate for point in finding.outline for coordinate in point}
    assert all(0 <= x <= 8 and 0 <= y <= 8 for x, y in finding.outline)


def test_a_thin_region_keeps_its_area() -> None:
    """A strip of a single pixel's height is an outline with an inside, not a line."""
    breast = np.zeros((40, 40), np.bool_)
    breast[20, 2:38] = True
    (finding,) = find_findings(NetworkOutput(0.0, np.ones((40, 40), np.float32)), network_input(breast), 0.6)
    assert cv2.contourArea(np.array(finding.outline, np.float32)) > 10


def test_no_breast_no_region() -> None:
    """Without a single pixel of breast there is nothing to outline."""
    findings: tuple[Finding, ...] = find_findings(
        NetworkOutput(0.0, np.ones((4, 4), np.float32)), network_input(np.zeros((8, 8), np.bool_)), 0.6
    )
    assert findings == ()


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.floats(0, 1, width=32)))
def test_saliency_round_trip(saliency: Array) -> None:
    """A saliency map comes back to within 1 in 65535, in the same shape, and its bytes are the same each time."""
    encoded = encode_saliency(saliency)
    decoded = decode_saliency(encoded)

    assert decoded.shape == saliency.shape
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, saliency, atol=1 / 65535)
    assert encode_saliency(saliency) == encoded


@pytest.mark.parametrize("content", [b"", b"nothing", cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()])
def test_other_bytes_are_no_saliency(content: bytes) -> None:
    """Bytes that are no saliency map are refused."""
    with pytest.raises(ValueError, match="not a saliency map"):
        decode_saliency(content)
