"""The training command from end to end, small, and the examples that it learns from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dosremc_node.network import Recipe, train_demonstration
from dosremc_node.network.demonstration import SPEC, _film
from dosremc_node.network.examples import Breast, Examples, simulate_examples
from dosremc_node.network.resnet22 import SaliencyResNet
from dosremc_node.network.source_training import _cropped
from dosremc_node.records import OperatingPoint
from dosremc_node.releases import ReleaseShelf
from dosremc_node.simulation import FILMS, HALF_SIZE, VENDORS

TINY = Recipe(images_per_vendor=16, bank_images=8, validation_images=8, test_images=8, served_images=4, epochs=1, processes=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_training_command_writes_a_whole_release(tmp_path: Path) -> None:
    """A release whose digests hold, with a bank and an operating point for each vendor, and progress that ends at 1 for every step."""
    heard: dict[str, float] = {}
    release = train_demonstration(tmp_path, TINY, lambda what, share: heard.update({what: share}))
    shelf = ReleaseShelf([tmp_path])
    shelf.verify("demonstration")
    assert shelf.load("demonstration").release == release
    assert sorted(release.banks) == sorted(release.operating_points) == ["simulated-a", "simulated-b", "simulated-c", "simulated-d"]
    assert len({bank.sha256 for bank in release.banks.values()}) == 4
    assert set(heard.values()) == {1.0}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    """Killed while it learns a bank, it simulates nothing anew, and ends with the bits that it would have had without the interruption."""
    whole = train_demonstration(tmp_path / "whole", TINY)

    def interrupted(what: str, _share: float) -> None:
        if what == "bank of C":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_demonstration(tmp_path / "second", TINY, interrupted, tmp_path / "work")
    heard: set[str] = set()
    second = train_demonstration(tmp_path / "second", TINY, lambda what, _share: heard.add(what), tmp_path / "work")
    assert not any(what.startswith("simulating") for what in heard)
    assert (second.filters_sha256, second.banks) == (whole.filters_sha256, whole.banks)


def test_real_film_is_reported_beside_the_simulated_figures() -> None:
    """Both exams of the package, a probability for each breast, and what is true of them; from whatever weights."""
    network, point = SaliencyResNet().eval(), OperatingPoint(threshold=0.5, slope=1.0, intercept=0.0, target="none")
    said = [_film(network, film, point) for film in FILMS]
    assert [(each["malignant"], each["threshold"]) for each in said] == [("left", 0.5), (None, 0.5)]
    assert all(0 < each[side] < 1 for each in said for side in ("left", "right"))


@pytest.mark.slow
def test_training_images_look_like_those_that_are_sent() -> None:
    """The coarse image of a breast and the one at the size that is sent are nearly the same to the network."""
    coarse, sent = (
        simulate_examples([Breast(seed, vendor, binning) for seed, vendor in enumerate(VENDORS)], SPEC, processes=1)
        for binning in (None, HALF_SIZE)
    )
    assert np.array_equal(coarse.malignant, sent.malignant)
    np.testing.assert_allclose(coarse.lesions, sent.lesions, atol=2)
    for one, other in zip(coarse.pixels.astype(np.float32), sent.pixels.astype(np.float32), strict=True):
        # Quantum noise is another one at another pixel size, so it is smoothed away.
        smooth = [cv2.GaussianBlur(image, (0, 0), 1.5).ravel() for image in (one, other)]
        assert np.corrcoef(smooth)[0, 1] > 0.97


def test_a_crop_holds_the_lesion() -> None:
    """Wherever the lesion is, the crop has it inside, and the lesion's coordinates are the crop's."""
    random = np.random.default_rng(2)
    lesions = np.stack([random.uniform(1, 47, 64), random.uniform(1, 95, 64), np.full(64, 4.0)], axis=1).astype(np.float32)
    pixels = np.zeros((64, 96, 48), np.float16)
    for index, (column, row, _) in enumerate(lesions):
        pixels[index, int(row), int(column)] = 1
    crops, places = _cropped(Examples(pixels, np.ones(64, np.bool_), lesions), np.arange(64), 32, random)
    for crop, (column, row, _) in zip(crops[:, 0].numpy(), places.numpy(), strict=True):
        assert crop[int(row), int(column)] == 1
