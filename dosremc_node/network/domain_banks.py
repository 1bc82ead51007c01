"""One network and the bank of each domain: every image is judged with the bank of its own domain, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from dosremc_node.errors import NoBankForDomain, OtherBanksMoved
from dosremc_node.network.banks import Bank, bank_digest, bank_of, filters_frozen, put_bank
from dosremc_node.network.prediction import Network, Prediction
from dosremc_node.records import Domain


class DomainBanks:
    """A network, and banks by domain. The banks are copies: what happens to the network reaches one only through `training`.

    Raises `BankDoesNotFit`. Domain-specific batch norm after Chang et al. (arXiv 1906.03950), with the fully connected layers in the bank.
    """

    def __init__(self, network: Network, banks: Mapping[Domain, Mapping[str, NDArray[np.float32]]]) -> None:
        self.network = network
        self._banks: dict[Domain, Bank] = {}
        for domain, bank in banks.items():
            put_bank(network, bank, domain)
            self._banks[domain] = bank_of(network)

    @property
    def domains(self) -> tuple[Domain, ...]:
        """The domains that have a bank, sorted."""
        return tuple(sorted(self._banks))

    def bank(self, domain: Domain) -> Bank:
        """A copy of a domain's bank; raises `NoBankForDomain`."""
        return {name: values.copy() for name, values in self._known(domain).items()}

    def digests(self) -> dict[Domain, str]:
        """The digest of each domain's bank, as a release's manifest has it."""
        return {domain: bank_digest(bank) for domain, bank in self._banks.items()}

    def network_of(self, domain: Domain) -> Network:
        """The network with this domain's bank in it, until another one is put there; raises `NoBankForDomain`."""
        put_bank(self.network, self._known(domain), domain)
        return self.network

    def predict(self, images: Tensor, domains: Sequence[Domain]) -> Prediction:
        """What the network says of images (n, 1, height, width), each with the bank of its own domain, ``domains`` (n), in its place.

        The statistics are the banks', never the batch's, no gradient is kept, and the bank that is in the network stays there. Raises
        `NoBankForDomain` before anything is judged.
        """
        if len(domains) != len(images):
            raise ValueError(f"{len(images)} images, {len(domains)} domains")
        places: dict[Domain, list[int]] = {}
        for place, domain in enumerate(domains):
            self._known(domain)
            places.setdefault(domain, []).append(place)
        was_training = self.network.training
        self.network.eval()
        with torch.no_grad():
            predictions = [self._judge(images[chosen], domain) for domain, chosen in places.items()]
        self.network.train(was_training)
        return _in_order(predictions, [place for chosen in places.values() for place in chosen])

    @contextmanager
    def training(self, domain: Domain) -> Iterator[Network]:
        """The network with this domain's bank in it, to be trained with its filters frozen; afterwards that is the domain's bank.

        A domain without a bank is an error here too: `add` gives it one to start from. Raises `NoBankForDomain`, `FiltersMoved` and
        `OtherBanksMoved`, and then keeps the bank that was there.
        """
        before = self.digests()
        with filters_frozen(self.network_of(domain)):
            yield self.network
        after = self.digests()
        if moved := [other for other in before if before[other] != after[other]]:
            raise OtherBanksMoved(domain=domain, moved=moved[0])
        self._banks[domain] = bank_of(self.network)

    def add(self, domain: Domain, like: Domain) -> None:
        """Give a new domain a copy of another's bank, to start from; raises `NoBankForDomain`, and `ValueError` where it has one."""
        if domain in self._banks:
            raise ValueError(f"{domain} has a bank already")
        self._banks[domain] = self.bank(like)

    def _judge(self, images: Tensor, domain: Domain) -> Prediction:
        tensors = {name: torch.from_numpy(values).to(images.device) for name, values in self._banks[domain].items()}
        prediction: Prediction = functional_call(self.network, tensors, (images,))
        return prediction

    def _known(self, domain: Domain) -> Bank:
        if domain not in self._banks:
            raise NoBankForDomain(domain=domain, known=", ".join(self.domains))
        return self._banks[domain]


def _in_order(predictions: Sequence[Prediction], places: Sequence[int]) -> Prediction:
    """Predictions of parts of a batch as one of the whole: row i of what is joined belongs to image ``places[i]``."""
    order = torch.tensor(places).argsort()

    def joined(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(tensors))[order.to(tensors[0].device)]

    maps = [each.saliency for each in predictions if each.saliency is not None]
    return Prediction(
        logits=joined([each.logits for each in predictions]),
        saliency=joined(maps) if maps else None,
        features=joined([each.features for each in predictions]),
        parts={name: joined([each.parts[name] for each in predictions]) for name in predictions[0].parts},
    )
