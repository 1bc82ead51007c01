"""A bank as the bytes of its safetensors file: what is written, read, and what its digest is of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from dosremc_node.errors import BankUnreadable
from dosremc_node.records import Domain

Bank = Mapping[str, NDArray[np.float32]]


def bank_to_safetensors(bank: Bank) -> bytes:
    """The bank's file: the same values give the same bytes, in whatever order they stand."""
    # safetensors writes an array's memory as it lies: a transposed view would be written in the wrong order.
    content: bytes = save({name: np.ascontiguousarray(bank[name]) for name in sorted(bank)})
    return content


def bank_from_safetensors(content: bytes, domain: Domain) -> dict[str, NDArray[np.float32]]:
    """The bank of a file, by initializer name; raises `BankUnreadable`. Whether it fits is for whoever puts it somewhere to say."""
    try:
        bank: dict[str, NDArray[np.float32]] = load(content)
    except SafetensorError as error:
        raise BankUnreadable(domain=domain, why=str(error)) from error
    return bank
