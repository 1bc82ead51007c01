"""Banks: what differs between domains (batch norm and the fully connected layers), apart from the filters, which never move.

A bank goes by the names of the network's state, which are those of the graph's initializers and of the bank's file too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dosremc_node.errors import BankDoesNotFit, BatchNormNotInBank, FiltersMoved
from dosremc_node.records import Domain
from dosremc_node.releases import bank_to_safetensors

Bank = dict[str, NDArray[np.float32]]

LEARNT = ("weight", "bias")
BATCH_NORM_STATISTICS = ("running_mean", "running_var")
BATCH_NORM_COUNTER = "num_batches_tracked"
REMEDIES = {"weight": "affine=True", "bias": "affine=True and bias=True"}


def bank_of(network: nn.Module) -> Bank:
    """A copy of the network's bank: gamma, beta, running mean and variance of every batch norm (of 1, 2 or 3 dimensions), and weight
    and bias of every linear layer, in float32. Raises `BatchNormNotInBank` where a batch norm lacks one of its four.
    """
    return {name: np.array(tensor.detach().cpu().numpy(), np.float32) for name, tensor in _bank_tensors(network)}


def put_bank(network: nn.Module, bank: Mapping[str, NDArray[np.float32]], domain: Domain) -> None:
    """Write a bank into the network; raises `BankDoesNotFit` where a name, a shape or a type differs, and then changes nothing."""
    tensors = dict(_bank_tensors(network))
    check_bank_fits(tensors, bank, domain)
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.tensor(bank[name]))


def bank_digest(bank: Mapping[str, NDArray[np.float32]]) -> str:
    """SHA-256 of the bank's file: what a release's manifest says of it and `BankId` carries."""
    return hashlib.sha256(bank_to_safetensors(bank)).hexdigest()


def filters_digest(network: nn.Module) -> str:
    """SHA-256 over the name, shape and values of everything that is no bank: it must be the same before and after any adaptation."""
    digest = hashlib.sha256()
    for name, tensor in sorted(filters_of(network).items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _filter_digests(network: nn.Module) -> dict[str, str]:
    """SHA-256 of each filter's values."""
    return {
        name: hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
        for name, tensor in filters_of(network).items()
    }


def filters_of(network: nn.Module) -> dict[str, Tensor]:
    """The tensors themselves, not copies, of all that no bank holds: convolutions, their biases, and whatever else the network keeps."""
    in_bank = {name for name, _ in _bank_tensors(network)}
    state = network.state_dict(keep_vars=True).items()
    return {name: tensor for name, tensor in state if name not in in_bank and name.rpartition(".")[2] != BATCH_NORM_COUNTER}


def freeze_filters(network: nn.Module) -> list[nn.Parameter]:
    """Let only the bank's parameters learn, and return them (gamma, beta, fully connected)."""
    in_bank = {name for name, _ in _bank_tensors(network)}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in in_bank)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


@contextmanager
def filters_frozen(network: nn.Module) -> Iterator[list[nn.Parameter]]:
    """Inside, only the bank's parameters learn: they are what is given. Every adaptation but full fine-tuning stands inside it.

    Afterwards each parameter learns or does not as before, and `FiltersMoved`, naming them, is raised where a filter
    is not the same to the last bit.
    """
    before, learning = _filter_digests(network), {name: each.requires_grad for name, each in network.named_parameters()}
    try:
        yield freeze_filters(network)
    finally:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(learning.get(name, True))
    moved = {name for name, _ in before.items() ^ _filter_digests(network).items()}
    if moved:
        raise FiltersMoved(moved=", ".join(sorted(moved)))


def batch_norms(network: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    """Every batch norm with its name."""
    return ((name, module) for name, module in network.named_modules() if isinstance(module, _BatchNorm))


def check_bank_fits(tensors: Mapping[str, Tensor], bank: Mapping[str, NDArray[np.float32]], domain: Domain) -> None:
    """Raise `BankDoesNotFit`, naming the first entry that is missing, spare, of another shape, or not float32."""
    for names, has_it in ((tensors.keys() - bank.keys(), "the network"), (bank.keys() - tensors.keys(), "the bank")):
        if names:
            raise BankDoesNotFit(domain=domain, why=f"only {has_it} has {min(names)}")
    for name, tensor in tensors.items():
        found, expected = f"{bank[name].dtype} {bank[name].shape}", f"float32 {tuple(tensor.shape)}"
        if found != expected:
            raise BankDoesNotFit(domain=domain, why=f"{name} is {found}, the network has {expected}")


def _bank_tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for prefix, module in network.named_modules():
        if isinstance(module, _BatchNorm | nn.Linear):
            _check_batch_norm(prefix, module)
            names = LEARNT if isinstance(module, nn.Linear) else (*LEARNT, *BATCH_NORM_STATISTICS)
            tensors = ((name, getattr(module, name)) for name in names)
            # A linear layer may have been made without a bias.
            yield from ((f"{prefix}.{name}" if prefix else name, tensor) for name, tensor in tensors if tensor is not None)


def _check_batch_norm(name: str, module: nn.Module) -> None:
    """A batch norm without statistics of its own judges by its batch; one without gamma or beta leaves the graph nothing to exchange."""
    if isinstance(module, nn.Linear):
        return
    for part in (*LEARNT, *BATCH_NORM_STATISTICS):
        if getattr(module, part) is None:
            raise BatchNormNotInBank(name=name, missing=part, remedy=REMEDIES.get(part, "track_running_stats=True"))
