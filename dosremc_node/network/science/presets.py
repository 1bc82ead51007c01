"""How large the benchmark is: everything that is counted, fixed before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass

from dosremc_node.network.resnet22 import LIGHT_RESNET22, Head, ResNetConfiguration, Stage

SMALL_RESNET = ResNetConfiguration(
    stem_width=16, stem_kernel=5, stem_stride=2, stem_pool=False,
    stages=(Stage(16, 2), Stage(24, 2), Stage(32, 1, 1), Stage(48, 1, 1)),
    head=Head.LINEAR, highest_share=0.02,
)  # fmt: skip
"""The light ResNet-22 with less of what comes after its third stride: 14 layers, a third of the cost."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Counts of breasts are of each vendor in each seed, and each breast has two images.

    ``training_breasts``: half malignant; a source's filters learn from them with the lesions' places, a target's methods from the
    labels of their images. ``screening_breasts``: a sample without labels in which 0.5 % are malignant. ``few`` and ``many`` are the
    budgets of labelled images; ``statistics`` those of images without labels, the middle one the default. ``adaptation_steps`` is what every
    training of a target gets.
    """

    name: str
    purpose: str
    vendors: int
    seeds: int
    height: int
    width: int
    network: ResNetConfiguration
    conspicuity: tuple[float, float]
    training_breasts: int
    screening_breasts: int
    validation_breasts: int
    test_breasts: int
    source_epochs: int
    adaptation_steps: int
    few: int
    many: int
    statistics: tuple[int, int, int]
    resamples: int

    @property
    def seed_numbers(self) -> range:
        """The seeds of data and model. Seed 0 is none of them: sizes and learning rates were chosen on it."""
        return range(1, self.seeds + 1)

    def epochs(self, images: int, batch: int = 32) -> int:
        """Passes over so many images that make about ``adaptation_steps`` steps: every budget of labels gets the same training."""
        return max(1, round(self.adaptation_steps / -(-images // batch)))


STANDARD = Preset(
    name="standard", purpose="one to two hours on two cores", vendors=3, seeds=5, height=192, width=96, network=SMALL_RESNET,
    conspicuity=(1.0, 2.0), training_breasts=400, screening_breasts=500, validation_breasts=80, test_breasts=130,
    source_epochs=24, adaptation_steps=40, few=100, many=500, statistics=(50, 200, 1000), resamples=1000,
)  # fmt: skip

QUICK = Preset(
    name="quick", purpose="minutes, to see that everything runs; its figures mean nothing", vendors=3, seeds=2, height=160, width=80,
    network=SMALL_RESNET, conspicuity=(1.3, 2.6), training_breasts=12, screening_breasts=20, validation_breasts=8, test_breasts=8,
    source_epochs=1, adaptation_steps=2, few=16, many=24, statistics=(16, 24, 40), resamples=50,
)  # fmt: skip

LARGE = Preset(
    name="large", purpose="some hours on a machine with a GPU and sixteen cores", vendors=99, seeds=10, height=256, width=128,
    network=LIGHT_RESNET22, conspicuity=(0.8, 1.7), training_breasts=1200, screening_breasts=1000, validation_breasts=200, test_breasts=400,
    source_epochs=24, adaptation_steps=200, few=100, many=500, statistics=(50, 200, 1000), resamples=2000,
)  # fmt: skip

PRESETS = {preset.name: preset for preset in (STANDARD, QUICK, LARGE)}
