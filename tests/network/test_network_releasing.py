"""Making releases from an index: what a network is held against, how classes are balanced, and that a breast is scored as in service."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from harness import datasets
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from dosremc_node.errors import NeedsSource, NotABankMethod, NothingToLearnFrom, ReleaseExists
from dosremc_node.inference.rule import _breasts
from dosremc_node.network.data import Index, IndexRow, Split
from dosremc_node.network.examples import Examples
from dosremc_node.network.methods import METHODS, Task
from dosremc_node.network.prediction import Prediction
from dosremc_node.network.releasing import METHODS_THAT_GIVE_A_BANK, AdaptationRecipe, SourceRecipe, Workplace, adapt_release, train_release
from dosremc_node.network.releasing.images import breasts, checkpoint_of
from dosremc_node.network.releasing.source import balanced_order, source_loss
from dosremc_node.network.resnet22 import SaliencyResNet
from dosremc_node.network.training import Plan
from dosremc_node.records import Domain, ImageScore, Laterality, OperatingPoint, View
from dosremc_node.releases import default_shelf
from dosremc_node.settings import SHIPPED_RELEASE, ReleaseSettings

NAN = float("nan")


def row(number: int, *, malignant: bool = False, domain: str = "a", view: View = View.CC, split: Split = Split.TRAINING) -> IndexRow:
    return IndexRow(Path(f"{number}.dcm"), f"e{number}", f"p{number}", Laterality.LEFT, view, malignant, Domain(domain), split)


def prediction(cells: torch.Tensor) -> Prediction:
    return Prediction(logits=cells.flatten(1).mean(dim=1), saliency=cells, features=cells.flatten(1))


def test_a_malignant_image_without_a_mark_is_held_against_its_label_alone() -> None:
    """Its map's gradient is the label's; a marked one's lights up at the mark and a negative one's nowhere."""
    cells = torch.zeros(3, 1, 8, 4, requires_grad=True)
    malignant = torch.tensor([1.0, 1.0, 0.0])
    lesions = torch.tensor([[NAN, NAN, NAN], [20.0, 36.0, 8.0], [NAN, NAN, NAN]])
    source_loss(prediction(cells), malignant, lesions, 64).backward()  # type: ignore[no-untyped-call]
    gradient = cells.grad
    assert gradient is not None
    assert len(gradient[0].unique()) == 1
    assert gradient[0, 0, 0, 0] < 0
    assert np.unravel_index(int(gradient[1, 0].argmin()), (8, 4)) == (4, 2)
    assert (gradient[2] > 0).all()


def test_without_marks_or_without_a_map_only_the_label_counts() -> None:
    """The loss is then the cross entropy of the image's logit, whole."""
    cells = torch.randn(4, 1, 8, 4)
    malignant = torch.tensor([1.0, 0.0, 1.0, 0.0])
    expected = functional.binary_cross_entropy_with_logits(cells.flatten(1).mean(dim=1), malignant)
    torch.testing.assert_close(source_loss(prediction(cells), malignant, None, 64), expected)
    mapless = replace(prediction(cells), saliency=None)
    torch.testing.assert_close(source_loss(mapless, malignant, torch.full((4, 3), NAN), 64), expected)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=40))
def test_balancing_shows_both_classes_of_a_domain_equally_often(kinds: list[tuple[str, bool]]) -> None:
    """Every image is shown, the frequent class once, the rare one as often in all; a domain with one class is left as it is."""
    rows = tuple(row(number, malignant=malignant, domain=domain) for number, (domain, malignant) in enumerate(kinds))
    order = balanced_order(rows)
    shown = Counter((rows[place].domain, rows[place].malignant) for place in order)
    assert set(order) == set(range(len(rows)))
    for domain in {each.domain for each in rows}:
        there = Counter(each.malignant for each in rows if each.domain == domain)
        assert {shown[domain, malignant] for malignant in there} == {max(there.values())}


@given(st.lists(st.tuples(st.sampled_from((View.CC, View.MLO)), st.floats(0, 1)), min_size=1, max_size=6))
def test_a_breast_is_scored_as_the_node_scores_it(images: list[tuple[View, float]]) -> None:
    """The mean over views, a view with two images counting once: the same number as the serving rule's."""
    rows = [row(1, view=view) for view, _ in images]
    scores = tuple(ImageScore("", Laterality.LEFT, view, 0.0, probability, False, (), "") for view, probability in images)
    (served,) = _breasts(scores, OperatingPoint(threshold=0.5))
    (ours,), (label,) = breasts(rows, np.array([probability for _, probability in images]))
    assert ours == pytest.approx(served.probability, abs=1e-12)
    assert not label


def test_a_checkpoint_belongs_to_its_images_and_recipe() -> None:
    """Another label or another recipe is another training; where the data set lies does not matter."""
    rows, recipe = [row(1), row(2, malignant=True)], SourceRecipe("x")
    mine = checkpoint_of(Path(), "x", rows, recipe)
    elsewhere = [replace(each, path=Path("elsewhere") / each.path) for each in rows]
    assert checkpoint_of(Path(), "x", elsewhere, recipe) == mine
    assert checkpoint_of(Path(), "x", [row(1), row(2)], recipe) != mine
    assert checkpoint_of(Path(), "x", rows, replace(recipe, seed=2)) != mine


@pytest.mark.parametrize("name", METHODS)
def test_the_methods_that_give_a_bank_are_those_that_are_named(name: str) -> None:
    """A release can be adapted by each of them, and by no other."""
    random = np.random.default_rng(1)
    pixels = random.standard_normal((16, 64, 32)).astype(np.float16)
    images = Examples(pixels, np.arange(16) % 2 == 0, np.full((16, 3), np.nan, np.float32))
    task = Task(SaliencyResNet(), images, images, images.malignant, Plan(epochs=1, batch=8), seed=1)
    assert (METHODS[name].adapt(task).bank is not None) == (name in METHODS_THAT_GIVE_A_BANK)


def test_what_cannot_succeed_is_refused_before_images_are_read(tmp_path: Path) -> None:
    """A method without a bank, one that lacks its source, and an id that is taken; the index is not even looked at."""
    parent = default_shelf(ReleaseSettings()).load(SHIPPED_RELEASE)
    workplace, index = Workplace(tmp_path / "cache"), Index(())

    def adapt(**recipe: str) -> None:
        adapt_release(
            parent, index, Domain("b"), out=tmp_path, recipe=AdaptationRecipe(**{"release_id": "new", **recipe}), workplace=workplace  # type: ignore[arg-type]
        )  # fmt: skip

    with pytest.raises(NotABankMethod, match="The method tent gives no bank"):
        adapt(method="tent")
    with pytest.raises(NeedsSource, match="--source-index"):
        adapt(method="dann_bnfc")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ReleaseExists):
        adapt(release_id="taken")
    with pytest.raises(ReleaseExists):
        train_release(index, (Domain("b"),), tmp_path, SourceRecipe("taken"), workplace)
    assert not (tmp_path / "cache").exists()


def test_a_split_without_cancers_is_named(tmp_path: Path) -> None:
    """Nothing is trained where the training split has one class only."""
    path = datasets.write(tmp_path / "image.dcm", datasets.picture("A", 1, Laterality.LEFT, View.CC).content)
    index = Index((replace(row(1), path=path),))
    with pytest.raises(NothingToLearnFrom, match="The training split has no malignant image"):
        train_release(index, (Domain("a"),), tmp_path / "out", SourceRecipe("x", height=64, width=32), Workplace(tmp_path / "cache"))
