"""Methods of adaptation: for each, the property that makes it what it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from harness.toys import QUICK, ToyNetwork, toy_examples
from torch import Tensor, nn
from torch.nn import functional

from dosremc_node.errors import BatchOfOne, DomainsNotTwo, FiltersMoved, LabelsDoNotFit, LabelsMissing, OneClassOnly, TooFewImages
from dosremc_node.network.banks import bank_of, put_bank
from dosremc_node.network.batches import Images
from dosremc_node.network.examples import Examples
from dosremc_node.network.methods import METHODS, Task
from dosremc_node.network.methods import fine_tuning as tuning
from dosremc_node.network.methods.batch_blend import BlendedBatchNorm, alpha_bn, batch_statistics_only, blended
from dosremc_node.network.methods.bn_classifier import bn_classifier
from dosremc_node.network.methods.dann import adversary, reversal_strength, reverse_gradient, twin_of
from dosremc_node.network.methods.interface import SOURCE, TARGET
from dosremc_node.network.methods.statistics_only import adabn, shrunk
from dosremc_node.network.methods.tent import TentScorer, entropy, tent
from dosremc_node.network.methods.ttn import alpha_priors, ttn
from dosremc_node.network.scoring import logits
from dosremc_node.network.statistics import measured_statistics, own_statistics
from dosremc_node.network.training import Moment, Plan, fit
from dosremc_node.records import Domain

TEST = toy_examples(9, 40, contrast=3, offset=2)
FILTERS_MOVE = {"full", "joint", "dann"}
BANKS = {
    "unadapted", "adabn", "adabn_shrunk", "adabn_early", "bn_classifier", "bn_only", "bnfc", "bnfc_held", "dann_bnfc", "dann_domain_bn",
    "domain_banks", "domain_banks_unlabelled",
}  # fmt: skip


@pytest.fixture(scope="module")
def task() -> Task:
    """From a toy network that was trained on one contrast to images of another."""
    network, source, target = ToyNetwork(), toy_examples(1), toy_examples(2, contrast=3, offset=2)
    fit(network, list(network.parameters()), _loss_on(network, source), len(source), Plan(6, 1e-2, 16), seed=1)
    return Task(network, source, target, target.malignant, QUICK, seed=4)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_the_interface(task: Task, name: str) -> None:
    """Finite scores in the images' order, the same bits twice, the task's network untouched, a bank where nothing of the filters moved."""
    before = _state(task.network)
    adapted = METHODS[name].adapt(task)
    scores = adapted.scorer(TEST, TARGET)
    assert scores.shape == (len(TEST),)
    assert np.isfinite(scores).all()
    assert np.array_equal(scores, adapted.scorer(TEST, TARGET))
    assert np.array_equal(scores, METHODS[name].adapt(task).scorer(TEST, TARGET))
    assert _same(before, task.network)
    assert (adapted.bank is not None) == (name in BANKS)


@pytest.mark.parametrize("name", sorted(BANKS - {"bn_classifier"}))
def test_a_bank_in_the_source_s_network_is_the_adapted_network(task: Task, name: str) -> None:
    """Put into a copy of the source's network, the bank that a method gives makes the target's scores, to the last bit."""
    adapted = METHODS[name].adapt(task)
    assert adapted.bank is not None
    network = task.own_network()
    put_bank(network, adapted.bank, TARGET)
    assert np.array_equal(logits(network, TEST), adapted.scorer(TEST, TARGET))


@pytest.mark.parametrize("name", METHODS)
def test_filters_move_where_they_may_and_nowhere_else(task: Task, name: str) -> None:
    """Full, joint and adversarial training of everything move filters; no other method does."""
    adapted = METHODS[name].adapt(task)
    filters = {key: tensor for key, tensor in _state(adapted.network).items() if "conv" in key}
    moved = any(not torch.equal(tensor, _state(task.network)[key.removeprefix("network.")]) for key, tensor in filters.items())
    assert len(filters) == 2
    assert moved == (name in FILTERS_MOVE)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.needs_labels])
def test_missing_or_one_sided_labels_are_refused(task: Task, name: str) -> None:
    """No labels, labels of one class, or too few labels: an error before anything is computed."""
    adapt, count = METHODS[name].adapt, len(task.target)
    for malignant, error in (
        (None, LabelsMissing),
        (np.zeros(count, np.bool_), OneClassOnly),
        (np.ones(count, np.bool_), OneClassOnly),
        (np.array([True, False]), LabelsDoNotFit),
    ):
        with pytest.raises(error, match="target"):
            adapt(replace(task, malignant=malignant))


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.needs_labels])
def test_methods_without_labels_do_without(task: Task, name: str) -> None:
    """Scores do not change when the target's labels are taken away."""
    expected = METHODS[name].adapt(task).scorer(TEST, TARGET)
    assert np.array_equal(expected, METHODS[name].adapt(replace(task, malignant=None)).scorer(TEST, TARGET))


@pytest.mark.parametrize("name", ["adabn", "bn_classifier", "bnfc", "dann_bnfc", "domain_banks_unlabelled"])
def test_too_few_images_for_statistics_are_refused(task: Task, name: str) -> None:
    """Fifteen images are too few, and the error says how many are needed."""
    few = toy_examples(2, 15)
    with pytest.raises(TooFewImages, match="needs 16 images of target"):
        METHODS[name].adapt(replace(task, target=few, malignant=few.malignant))


@pytest.mark.parametrize("name", ["ttn", "dann", "joint", "bn_classifier"])
def test_a_source_of_one_class_is_refused(task: Task, name: str) -> None:
    """Where the source teaches the class, it must show both."""
    with pytest.raises(OneClassOnly, match="source"):
        METHODS[name].adapt(replace(task, source=toy_examples(1, malignant=0)))


@pytest.mark.parametrize("adapt", [batch_statistics_only, alpha_bn, tent, ttn])
def test_a_batch_of_one_is_refused(task: Task, adapt: Callable) -> None:
    """Neither batches of one nor a single image can be normalised by their own statistics."""
    with pytest.raises(BatchOfOne):
        adapt(task, batch=1)
    with pytest.raises(BatchOfOne):
        adapt(task).scorer(toy_examples(1, 1), TARGET)


def test_bnfc_learns_the_bank_and_bn_only_leaves_the_fully_connected_layer(task: Task) -> None:
    """BNFC moves every entry of the bank; BN only moves all but the linear layer's."""
    source = bank_of(task.network)
    moved = {
        name: {key for key, values in (METHODS[name].adapt(task).bank or {}).items() if not np.array_equal(values, source[key])}
        for name in ("bnfc", "bn_only")
    }
    assert moved["bnfc"] == source.keys()
    assert source.keys() - moved["bn_only"] == {"fc.weight", "fc.bias"}


def test_held_statistics_are_the_target_s(task: Task) -> None:
    """With the statistics held, BNFC ends with those that were measured; as in the paper, they moved on."""
    measured = measured_statistics(task.own_network(), task.target, seed=task.seed)
    for name, same in (("bnfc_held", True), ("bnfc", False)):
        own = own_statistics(METHODS[name].adapt(task).network)
        assert all(torch.equal(own[layer].mean, measured[layer].mean.float().double()) == same for layer in measured)


def test_a_moved_filter_voids_the_adaptation(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where something moves a filter while a bank is trained, the result is refused, and the error names that filter alone."""
    monkeypatch.setattr(tuning, "_train", lambda network, *_rest, **_more: network.conv1.weight.data.add_(1))
    with pytest.raises(FiltersMoved, match=r"trained: conv1\.weight\. The result"):
        METHODS["bnfc"].adapt(task)


def test_shrinkage_goes_from_the_source_to_the_target(task: Task) -> None:
    """No target image gives the source's statistics, endlessly many the target's, as many as the source's the middle of both."""
    source, target = own_statistics(task.network), measured_statistics(task.own_network(), task.target, seed=0)
    for images, share in ((0, 0.0), (48, 0.5), (1e18, 1.0)):
        for name, found in shrunk(source, target, 48, images).items():
            torch.testing.assert_close(found.mean, (1 - share) * source[name].mean + share * target[name].mean)
            torch.testing.assert_close(found.variance, (1 - share) * source[name].variance + share * target[name].variance)


def test_early_layers_alone_are_adapted(task: Task) -> None:
    """A third of three layers is the first; the others keep the source's statistics."""
    source, adapted = bank_of(task.network), adabn(task, early=1 / 3).bank or {}
    assert {key for key in source if not np.array_equal(source[key], adapted[key])} == {"norm1.running_mean", "norm1.running_var"}


def test_batch_statistics_depend_on_batch_mates_and_fixed_ones_do_not(task: Task) -> None:
    """The first twenty images' scores change with the other twenty where the batch decides, and nowhere else."""
    other = Examples(np.concatenate([TEST.pixels[:20], 5 * TEST.pixels[20:]]), TEST.malignant, TEST.lesions)
    for name in METHODS:
        scorer = METHODS[name].adapt(task).scorer
        same = np.allclose(scorer(TEST, TARGET)[:20], scorer(other, TARGET)[:20], atol=1e-5)
        assert same == (name in BANKS | FILTERS_MOVE), name


def test_batch_statistics_are_torch_s_own(task: Task) -> None:
    """One batch of all images is scored as the network scores it in training mode."""
    network = task.own_network()
    expected = network.train()(TEST.batch(np.arange(len(TEST)))).logits.detach().numpy()
    found = batch_statistics_only(task, batch=len(TEST)).scorer(TEST, TARGET)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("alpha", "end"), [(0.0, "unadapted"), (1.0, "batch_statistics_8")])
def test_alpha_bn_has_its_ends(task: Task, alpha: float, end: str) -> None:
    """Without the batch alpha-BN is the source's network, with nothing else it is batch statistics."""
    np.testing.assert_allclose(
        alpha_bn(task, alpha=alpha).scorer(TEST, TARGET), METHODS[end].adapt(task).scorer(TEST, TARGET), rtol=1e-4, atol=1e-5
    )


def test_a_blend_is_a_mixture() -> None:
    """Mean and variance of the blend are those of samples of which a share comes from the batch and the rest from the source."""
    random = np.random.default_rng(1)
    batch, source = random.normal(3, 2, 300), random.normal(-1, 1, 700)
    both = np.concatenate([batch, source])
    values = [torch.tensor(value) for value in (0.3, batch.mean(), batch.var(), source.mean(), source.var())]
    mean, variance = blended(*values)
    assert float(mean) == pytest.approx(both.mean())
    assert float(variance) == pytest.approx(both.var())


def test_ttn_s_prior_finds_the_channel_that_augmentation_turns(task: Task) -> None:
    """Priors lie between 0 and 1 and reach both; alpha is learnt from there, and no weight is."""
    priors = torch.cat(alpha_priors(task.own_network(), task))
    assert (priors.min(), priors.max()) == (0, 1)
    network = ttn(task).network
    alphas = torch.cat([module.alpha for module in network.modules() if isinstance(module, BlendedBatchNorm)])
    assert ((alphas >= 0) & (alphas <= 1)).all()
    assert not torch.equal(alphas, priors)
    own = {name.replace(".norm.", "."): tensor for name, tensor in network.state_dict().items()}
    assert all(torch.equal(own[name], tensor) for name, tensor in task.network.state_dict().items())


def test_tent_changes_gamma_and_beta_alone(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it scores, gamma and beta move and nothing else does; the answers become more certain."""
    seen: list[nn.Module] = []
    step = "dosremc_node.network.methods.tent._step"
    real = __import__("dosremc_node.network.methods.tent", fromlist=["_step"])._step
    monkeypatch.setattr(step, lambda network, *rest: (seen.append(network), real(network, *rest))[1])
    scorer = tent(task, batch=40, rate=0.02).scorer
    many = _Repeated(TEST, 10)
    scores = scorer(many, TARGET)
    before, after = _state(task.network), _state(seen[-1])
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"norm{layer}.{part}" for layer in (1, 2, 3) for part in ("weight", "bias")}
    assert isinstance(scorer, TentScorer)
    still = TentScorer(scorer.network, 40, 0.0, task.seed)(many, TARGET)
    certain, uncertain = (entropy(torch.from_numpy(each)).mean() for each in (scores, still))
    assert certain < uncertain


def test_entropy_is_that_of_both_answers() -> None:
    """-p log p - (1 - p) log(1 - p)."""
    scores = torch.linspace(-4, 4, 9, dtype=torch.float64)
    p = scores.sigmoid()
    torch.testing.assert_close(entropy(scores), -p * p.log() - (1 - p) * (1 - p).log())


def test_the_bn_classifier_s_output_follows_the_prevalence(task: Task) -> None:
    """On the images that it took its statistics from, its mean logit is the output's beta whatever the prevalence; AdaBN's is not."""
    for share in (0.1, 0.5):
        target = toy_examples(5, 60, contrast=3, offset=2, malignant=share)
        adapted = bn_classifier(replace(task, target=target))
        output = adapted.network.output
        scores = adapted.scorer(target, TARGET)
        assert scores.mean() == pytest.approx(output.bias.item(), abs=1e-4)
        assert scores.std() == pytest.approx(abs(output.weight.item()), rel=1e-3)


def test_the_bn_classifier_ranks_as_its_bank_does(task: Task) -> None:
    """Within a domain the output's norm is a line: the order of scores is that of the bank without it."""
    adapted = bn_classifier(task)
    inner = logits(adapted.network.network, TEST)
    found = adapted.scorer(TEST, TARGET)
    np.testing.assert_allclose(np.corrcoef(inner, found)[0, 1], 1, atol=1e-6)


def test_the_gradient_comes_back_reversed() -> None:
    """Forwards the features are what they are; backwards the gradient is -lambda times what it was."""
    features = torch.randn(5, 3, requires_grad=True)
    weights = torch.randn(5, 3)
    reversed_features = reverse_gradient(features, 0.7)
    assert torch.equal(reversed_features, features)
    (reversed_features * weights).sum().backward()
    torch.testing.assert_close(features.grad, -0.7 * weights)


def test_the_reversal_grows_from_nothing_to_one() -> None:
    """0 where training begins, tanh(5 p) on the way, and nearly 1 at its end."""
    assert reversal_strength(0) == 0
    assert reversal_strength(0.3) == pytest.approx(math.tanh(1.5))
    assert reversal_strength(1) == pytest.approx(1, abs=1e-4)


def test_the_adversary_is_dosremc_s() -> None:
    """On GMIC's features its layers are 768-256-128-2."""
    shapes = [tuple(module.weight.shape) for module in adversary(768, 1) if isinstance(module, nn.Linear)]
    assert shapes == [(256, 768), (128, 256), (2, 128)]


@pytest.mark.parametrize("name", [pytest.param("dann", marks=pytest.mark.slow), "dann_bnfc"])
def test_the_domain_is_harder_to_read_after_adversarial_training(task: Task, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The domains' features lie less than half as far apart as before, and closer than the same training without reversal leaves them."""
    mild = replace(task, target=toy_examples(2, contrast=1, offset=1), plan=Plan(30, 3e-3, 16))
    against = _separable(METHODS[name].adapt(mild).network, mild)
    monkeypatch.setattr("dosremc_node.network.methods.dann.reversal_strength", lambda _: 0.0)
    without = _separable(METHODS[name].adapt(mild).network, mild)
    assert against < min(_separable(task.network, mild) / 2, without)


@pytest.mark.parametrize("name", ["dann", *(pytest.param(each, marks=pytest.mark.slow) for each in ("dann_bnfc", "dann_domain_bn"))])
def test_adversarial_training_learns_the_class_from_the_source(task: Task, name: str) -> None:
    """With the source's labels turned around, malignant images end below benign ones."""
    source = task.source
    assert isinstance(source, Examples)
    for malignant, sign in ((source.malignant, 1), (~source.malignant, -1)):
        taught = replace(task, source=replace(source, malignant=malignant), plan=Plan(30, 1e-2, 16))
        scores = METHODS[name].adapt(taught).scorer(source, SOURCE)
        assert sign * (scores[source.malignant].mean() - scores[~source.malignant].mean()) > 0


def test_a_twin_shares_all_but_batch_norm(task: Task) -> None:
    """Filters and the fully connected layer are the same objects; gamma and beta are not."""
    network = task.own_network()
    twin = dict(twin_of(network).named_parameters())
    assert {name for name, parameter in network.named_parameters() if twin[name] is parameter} == {
        "conv1.weight", "conv2.weight", "fc.weight", "fc.bias"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["domain_banks", "domain_banks_unlabelled"])
def test_domain_banks_leave_the_source_s_scores_bit_for_bit(task: Task, name: str) -> None:
    """After the target got a bank, the source's images and a third domain's have the scores that they had, to the last bit."""
    scorer = METHODS[name].adapt(task).scorer
    before = logits(task.own_network(), TEST)
    assert not np.array_equal(scorer(TEST, TARGET), before)
    assert np.array_equal(scorer(TEST, SOURCE), before)
    assert np.array_equal(scorer(TEST, Domain("third")), before)


def test_one_name_for_both_domains_is_refused(task: Task) -> None:
    """The target's bank would overwrite the source's."""
    for name in ("domain_banks", "dann_domain_bn"):
        with pytest.raises(DomainsNotTwo, match="source"):
            METHODS[name].adapt(replace(task, target_domain=SOURCE))


def test_adaptation_helps_where_the_shift_is_one_of_statistics(task: Task) -> None:
    """On a toy shift of contrast and offset, AdaBN's and BNFC's cross entropy is lower than the unadapted network's."""
    target = torch.from_numpy(TEST.malignant.astype(np.float64))
    losses = {
        name: functional.binary_cross_entropy_with_logits(torch.from_numpy(METHODS[name].adapt(task).scorer(TEST, TARGET)), target)
        for name in ("unadapted", "adabn", "bnfc_held")
    }
    assert max(losses["adabn"], losses["bnfc_held"]) < losses["unadapted"]


class _Repeated:
    """The same images many times."""

    def __init__(self, images: Images, times: int) -> None:
        self.images, self.times = images, times

    def __len__(self) -> int:
        return self.times * len(self.images)

    def batch(self, chosen: np.ndarray) -> Tensor:
        return self.images.batch(np.asarray(chosen) % len(self.images))


def _loss_on(network: ToyNetwork, examples: Examples) -> Callable[[np.ndarray, Moment], Tensor]:
    return lambda chosen, moment: tuning.labelled_loss(network, examples.batch(chosen), examples.malignant[chosen], moment)


def _separable(network: nn.Module, task: Task) -> float:
    """How far apart the domains' features are along Fisher's line, in units of their spread within a domain."""
    with torch.no_grad():
        one, other = (network(images.batch(np.arange(len(images)))).features.double() for images in (task.source, task.target))
    apart = one.mean(dim=0) - other.mean(dim=0)
    within = one.T.cov() + other.T.cov() + 1e-3 * torch.eye(len(apart))
    return float(apart @ torch.linalg.solve(within, apart))


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def _same(before: dict[str, Tensor], network: nn.Module) -> bool:
    return all(torch.equal(tensor, _state(network)[name]) for name, tensor in before.items())
