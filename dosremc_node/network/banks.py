"""Banks: what differs between domains (batch norm, fully connected layer), apart from the filters, which never do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dosremc_node.errors import BankDoesNotFit
from dosremc_node.records import Domain

Bank = dict[str, NDArray[np.float32]]
BATCH_NORM_STATISTICS = ("running_mean", "running_var")


def bank_of(network: nn.Module) -> Bank:
    """A copy of the network's bank: gamma, beta, running mean and variance of every batch norm, and every linear layer."""
    return {name: tensor.detach().cpu().numpy().astype(np.float32) for name, tensor in _bank_tensors(network)}


def put_bank(network: nn.Module, bank: Bank, domain: Domain) -> None:
    """Write a bank into the network; raises `BankDoesNotFit` where names or shapes differ, and then changes nothing."""
    tensors = dict(_bank_tensors(network))
    if different := sorted(tensors.keys() ^ bank.keys()):
        raise BankDoesNotFit(domain=domain, why=f"{different[0]} is in only one of the two")
    for name, tensor in tensors.items():
        if bank[name].shape != tuple(tensor.shape):
            raise BankDoesNotFit(domain=domain, why=f"{name} has the shape {bank[name].shape}, the network has {tuple(tensor.shape)}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.from_numpy(bank[name]))


def freeze_filters(network: nn.Module) -> list[nn.Parameter]:
    """Let only the bank's parameters learn, and return them (gamma, beta, fully connected)."""
    in_bank = {name for name, _ in _bank_tensors(network)}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in in_bank)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def filters_digest(network: nn.Module) -> str:
    """SHA-256 over the name, shape and values of everything that is no bank: it must be the same before and after any adaptation."""
    in_bank = {name for name, _ in _bank_tensors(network)}
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if name not in in_bank and not name.endswith("num_batches_tracked"):
            digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def batch_norms(network: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    """Every batch norm with its name."""
    return ((name, module) for name, module in network.named_modules() if isinstance(module, _BatchNorm))


def _bank_tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for prefix, module in network.named_modules():
        if isinstance(module, _BatchNorm | nn.Linear):
            names = ("weight", "bias", *BATCH_NORM_STATISTICS) if isinstance(module, _BatchNorm) else ("weight", "bias")
            for name in names:
                yield f"{prefix}.{name}", getattr(module, name)
