"""Torch on one thread: the networks of these tests are small, and other work runs beside them."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
