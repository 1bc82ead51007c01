"""Training: reproducible to the bit, resumable, and ending with the best epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from harness.toys import QUICK, ToyNetwork, toy_examples
from torch import Tensor, nn
from torch.nn import functional

from dosremc_node.errors import CheckpointOfAnother, LossNotFinite
from dosremc_node.network.augmentation import Move
from dosremc_node.network.batches import shuffled
from dosremc_node.network.losses import SALIENCY_WEIGHT, image_loss, lesion_loss, lesion_map
from dosremc_node.network.methods.fine_tuning import labelled_loss
from dosremc_node.network.prediction import Prediction, saliency_of
from dosremc_node.network.scoring import logits
from dosremc_node.network.source_training import train_filters
from dosremc_node.network.training import UNWATCHED, Moment, Plan, StepLoss, Watch, fit

EXAMPLES = toy_examples(1)
PLAN = replace(QUICK, epochs=4)


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not() -> None:
    """Two trainings from one seed end with equal weights; a third from another seed does not."""
    one, same, other = (_trained(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize("validated", [False, True])
def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path: Path, *, validated: bool) -> None:
    """Killed in its third epoch and started again, a training ends with the weights that it would have had."""
    checkpoint = tmp_path / "training"
    validate = _negative_loss if validated else None
    with pytest.raises(KeyboardInterrupt):
        _trained(Watch(progress=_interrupt_at(0.7), validate=validate, checkpoint=checkpoint))
    shares: list[float] = []
    resumed = _trained(Watch(progress=shares.append, validate=validate, checkpoint=checkpoint))
    assert min(shares) > 0.5
    expected = _trained(Watch(validate=validate)).state_dict()
    assert all(torch.equal(expected[name], tensor) for name, tensor in resumed.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["training"]


def test_another_training_s_checkpoint_is_refused(tmp_path: Path) -> None:
    """A checkpoint of another seed is not gone on from."""
    _trained(Watch(checkpoint=tmp_path / "training"), seed=1)
    with pytest.raises(CheckpointOfAnother, match="training"):
        _trained(Watch(checkpoint=tmp_path / "training"), seed=2)


def test_the_best_epoch_is_kept_and_patience_ends_the_training() -> None:
    """Figures 1, 3, 2, 2 with a patience of two: four epochs are trained, and the weights are those after the second."""
    figures, states = iter([1.0, 3.0, 2.0, 2.0, 9.0]), []

    def validate(network: nn.Module) -> float:
        states.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return next(figures)

    network = _trained(Watch(validate=validate, patience=2), plan=replace(PLAN, epochs=5))
    assert len(states) == 4
    assert all(torch.equal(states[1][name], tensor) for name, tensor in network.state_dict().items())


def test_statistics_stand_still_where_they_are_to() -> None:
    """With held statistics no running mean moves; without, all do."""
    before = ToyNetwork().state_dict()
    for moves in (False, True):
        network = ToyNetwork()
        fit(network, list(network.parameters()), _loss_of(network), len(EXAMPLES), PLAN, seed=1, statistics_move=moves)
        moved = [
            not torch.equal(before[f"norm{layer}.running_mean"], network.state_dict()[f"norm{layer}.running_mean"]) for layer in (1, 2, 3)
        ]
        assert moved == [moves] * 3


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    """The error names the loss and the rate, and no weight is touched."""
    network = ToyNetwork()
    before = network.conv1.weight.clone()
    with pytest.raises(LossNotFinite, match="nan"):
        fit(network, list(network.parameters()), lambda _c, _m: network.conv1.weight.sum() * torch.nan, 8, PLAN, seed=1)
    assert torch.equal(network.conv1.weight, before)


@pytest.mark.parametrize("plan", [Plan(epochs=1), Plan(epochs=1, one_cycle=False, decoupled=False)])
def test_the_shortest_training_works(plan: Plan) -> None:
    """One batch, one step."""
    assert np.isfinite(logits(_trained(plan=plan, count=8), EXAMPLES)).all()


def test_source_training_learns_where_lesions_are() -> None:
    """Trained on crops and then whole, the map is closer to the lesions than before, and its highest cell is where they are far more often than by chance."""
    network, examples = ToyNetwork(), toy_examples(3, count=64, spot=6)
    wide = np.repeat(np.repeat(examples.pixels, 3, axis=1), 6, axis=2)
    places = examples.lesions * np.array([6, 3, 4], np.float32)
    large = replace(examples, pixels=wide, lesions=places)
    images, there = large.batch(np.flatnonzero(large.malignant)), torch.from_numpy(places[large.malignant])
    before = lesion_loss(network, images, there).item()
    train_filters(network, large, epochs=6, seed=1)
    assert lesion_loss(network, images, there).item() < before
    cells = saliency_of(network, network(images))[:, 0]
    rows, columns = np.unravel_index(cells.flatten(1).argmax(dim=1).numpy(), cells.shape[1:])
    apart = np.hypot(columns * 4 + 2 - places[large.malignant, 0], rows * 4 + 2 - places[large.malignant, 1])
    assert np.mean(apart < 12) > 0.4  # by chance it would be one in twenty


def test_no_image_is_left_alone() -> None:
    """33 images in batches of 32 come as 17 and 16, each image once."""
    batches = shuffled(33, 32, np.random.default_rng(1))
    assert sorted(len(batch) for batch in batches) == [16, 17]
    assert sorted(np.concatenate(batches)) == list(range(33))


def test_a_lesion_moves_with_its_image() -> None:
    """Wherever a batch is moved, the bright spot is where the lesion is said to be."""
    random = np.random.default_rng(1)
    for _ in range(20):
        move = Move.at_random(64, random)
        images = torch.zeros(1, 1, 64, 8)
        images[0, 0, 30:32, 3] = 1
        lesion = move.lesions(torch.tensor([[3.5, 31.0, 2.0]]), 64)[0]
        rows = move.images(images)[0, 0, :, 3].nonzero()
        assert rows.float().mean() + 0.5 == lesion[1]


def test_the_image_loss_adds_the_parts_and_the_saliency() -> None:
    """A network with parts is held against the label with each, and pays 4.63e-4 for each cell's probability; one without pays nothing."""
    scores, labels, cells = torch.tensor([0.3, -1.0]), torch.tensor([1.0, 0.0]), torch.zeros(2, 1, 3, 4)
    entropy = functional.binary_cross_entropy_with_logits
    plain = Prediction(scores, cells, scores[:, None])
    assert image_loss(plain, labels) == entropy(scores, labels)
    whole = replace(plain, parts={"global": 2 * scores, "local": -scores})
    expected = entropy(scores, labels) + entropy(2 * scores, labels) + entropy(-scores, labels) + SALIENCY_WEIGHT * 12 * 0.5
    torch.testing.assert_close(image_loss(whole, labels), expected)


def test_the_target_peaks_at_the_lesion() -> None:
    """The map is 1 at the cell that holds the lesion's centre, falls off around it, and is 0 where there is no lesion."""
    target = lesion_map(torch.tensor([[20.0, 44.0, 5.0], [float("nan")] * 3]), 8, 4, stride=8)
    assert target.shape == (2, 8, 4)
    assert np.unravel_index(int(target[0].argmax()), (8, 4)) == (5, 2)
    assert target[0, 5, 2] == 1.0
    assert target[0, 0, 0] < 1e-3
    assert target[1].abs().max() == 0


def _trained(watch: Watch = UNWATCHED, *, seed: int = 1, plan: Plan = PLAN, count: int = len(EXAMPLES)) -> ToyNetwork:
    network = ToyNetwork()
    fit(network, list(network.parameters()), _loss_of(network), count, plan, seed=seed, watch=watch)
    return network


def _loss_of(network: ToyNetwork) -> StepLoss:
    def loss(chosen: np.ndarray, moment: Moment) -> Tensor:
        return labelled_loss(network, EXAMPLES.batch(chosen), EXAMPLES.malignant[chosen], moment)

    return loss


def _negative_loss(network: nn.Module) -> float:
    """A figure of a network: better where its loss is lower."""
    with torch.no_grad():
        prediction = network(EXAMPLES.batch(np.arange(len(EXAMPLES))))
    return -float(image_loss(prediction, torch.from_numpy(EXAMPLES.malignant.astype(np.float32))))


def _interrupt_at(share: float) -> Callable[[float], None]:
    def progress(done: float) -> None:
        if done > share:
            raise KeyboardInterrupt

    return progress
