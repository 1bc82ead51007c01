"""A network and the banks of several domains: each image with its own, and none touched by another's training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness.networks import KINDS, another_bank, images, small_network
from hypothesis import given, settings
from hypothesis import strategies as st

from dosremc_node.errors import BankDoesNotFit, FiltersMoved, NoBankForDomain, OtherBanksMoved
from dosremc_node.network import DomainBanks, Network, bank_digest, bank_of, put_bank
from dosremc_node.records import Domain

GE, HOLOGIC, SIEMENS = Domain("ge"), Domain("hologic"), Domain("siemens")
DOMAINS = (GE, HOLOGIC, SIEMENS)


def banks_for(network: Network) -> DomainBanks:
    return DomainBanks(network, {domain: another_bank(network, seed) for seed, domain in enumerate(DOMAINS)})


@pytest.fixture
def banks() -> DomainBanks:
    return banks_for(small_network("light"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_of_a_mixed_batch_gets_its_own_bank(kind: str) -> None:
    """Each image of a batch that mixes domains has the logit, map and features that it has alone with its own domain's bank."""
    network = small_network(kind)
    banks, batch, domains = banks_for(network), images(5), [SIEMENS, GE, SIEMENS, HOLOGIC, GE]
    mixed = banks.predict(batch, domains)
    for place, domain in enumerate(domains):
        twin = small_network(kind)
        put_bank(twin, another_bank(twin, DOMAINS.index(domain)), domain)
        with torch.no_grad():
            alone = twin(batch[place : place + 1])
        torch.testing.assert_close(mixed.logits[place], alone.logits[0])
        torch.testing.assert_close(mixed.features[place], alone.features[0])
        torch.testing.assert_close(mixed.saliency[place], alone.saliency[0])  # type: ignore[index]
        for name, part in alone.parts.items():
            torch.testing.assert_close(mixed.parts[name][place], part[0])


SHARED = banks_for(small_network("light"))


@given(st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=6), st.randoms())
@settings(max_examples=20, deadline=None)
def test_order_and_company_change_no_score(domains: list[Domain], random: object) -> None:
    """However a batch is mixed, an image keeps its score."""
    batch = images(len(domains))
    together = SHARED.predict(batch, domains).logits
    order = list(range(len(domains)))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = SHARED.predict(batch[order], [domains[place] for place in order]).logits
    torch.testing.assert_close(again, together[order])


def test_an_unknown_domain_is_refused_before_anything_is_judged(banks: DomainBanks) -> None:
    """One image of a domain without a bank: an error that names it and those there are, and no forward pass at all."""
    passes: list[object] = []
    banks.network.register_forward_hook(lambda *heard: passes.append(heard))
    with pytest.raises(NoBankForDomain, match="domain fuji, there are banks for ge, hologic, siemens"):
        banks.predict(images(2), [GE, Domain("fuji")])
    assert not passes
    with pytest.raises(NoBankForDomain, match="fuji"), banks.training(Domain("fuji")):
        pytest.fail("nothing may be trained")
    with pytest.raises(ValueError, match="2 images, 1 domains"):
        banks.predict(images(2), [GE])


def test_judging_leaves_the_network_as_it_was(banks: DomainBanks) -> None:
    """Neither its bank nor its mode nor any statistic changes, also while a bank is being trained."""
    banks.network.train()
    before = {name: tensor.clone() for name, tensor in banks.network.state_dict().items()}
    banks.predict(images(4), [GE, HOLOGIC, SIEMENS, GE])
    assert banks.network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in banks.network.state_dict().items())


def test_training_one_bank_touches_no_other(banks: DomainBanks) -> None:
    """Promise 7: afterwards the domain's bank is what was learnt, and every other one is the same bit by bit."""
    before = banks.digests()
    with banks.training(HOLOGIC) as network:
        _learn(network)
        learnt = bank_digest(bank_of(network))
    after = banks.digests()
    assert after[HOLOGIC] == learnt != before[HOLOGIC]
    assert {domain: after[domain] for domain in (GE, SIEMENS)} == {domain: before[domain] for domain in (GE, SIEMENS)}


def test_a_training_that_went_wrong_leaves_the_bank(banks: DomainBanks) -> None:
    """Where filters moved, or something failed, the bank that was there stays."""
    before = banks.digests()
    with pytest.raises(FiltersMoved), banks.training(GE) as network, torch.no_grad():
        network.stem.weight.add_(1e-3)
    with pytest.raises(ZeroDivisionError), banks.training(GE) as network:
        _ = _learn(network) / 0
    assert banks.digests() == before


def test_another_bank_that_moved_voids_the_training(banks: DomainBanks) -> None:
    """Should anything reach another domain's bank during a training, that is an error which names it, and nothing is kept."""
    before = banks.digests()
    with pytest.raises(OtherBanksMoved, match="bank of siemens changed while that of ge"), banks.training(GE) as network:
        banks._banks[SIEMENS]["norm.bias"] += _learn(network)
    assert banks.digests()[GE] == before[GE]


def test_what_is_given_out_is_a_copy(banks: DomainBanks) -> None:
    """Neither the banks that it was made of nor those that it gives out are the ones that it judges with."""
    given = another_bank(banks.network, 9)
    own = DomainBanks(banks.network, {GE: given})
    before = own.digests()
    given["norm.bias"] += 1
    own.bank(GE)["norm.bias"] += 1
    assert own.digests() == before


def test_a_new_domain_starts_from_a_named_one(banks: DomainBanks) -> None:
    """A copy of the named domain's bank, which then goes its own way; a domain that has a bank keeps it."""
    fuji = Domain("fuji")
    banks.add(fuji, like=SIEMENS)
    assert banks.digests()[fuji] == banks.digests()[SIEMENS]
    with banks.training(fuji) as network:
        _learn(network)
    assert banks.digests()[fuji] != banks.digests()[SIEMENS]
    with pytest.raises(ValueError, match="ge has a bank already"):
        banks.add(GE, like=SIEMENS)


def test_a_bank_that_does_not_fit_is_refused_at_once(banks: DomainBanks) -> None:
    """By domain and name, before anything is judged."""
    bank = another_bank(banks.network)
    bank["norm.bias"] = np.zeros(3, np.float32)
    with pytest.raises(BankDoesNotFit, match=r"bank of ge.*norm\.bias"):
        DomainBanks(banks.network, {GE: bank})


def _learn(network: Network) -> int:
    """One step, which moves everything that learns; 1, because one step was taken."""
    network.train()
    torch.autograd.backward(network(images(4)).logits.sum())
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.1 * parameter.grad)
    network.eval()
    return 1
