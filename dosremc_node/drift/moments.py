"""What goes into the batch norms of live images, against the statistics in their bank: new processing software shows here first.

An image leaves a trace: for each layer how far its mean lies from the bank's, and how much wider it spreads, in the bank's standard
deviations and over all channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosremc_node.drift.reference import Values
from dosremc_node.records import BatchNormMoments, LayerMoments

Statistics = Mapping[str, NDArray[np.floating]]
"""A bank: ``<layer>.running_mean`` and ``<layer>.running_var`` beside its other values."""

PERMUTATIONS = 1999
_LEAST_VARIANCE = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """``values`` (n, layers, 2) of n images: shift of the mean and half the logarithm of the variance's ratio."""

    layers: tuple[str, ...]
    values: Values

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class LayerDistance:
    """How far the images together lie from the bank in one layer: 0 and 0 where they are what it was made from.

    ``shift`` is the root mean square, over channels, of the difference of the means in standard deviations of the bank; ``spread`` that of
    the logarithm of the ratio of the standard deviations.
    """

    shift: float
    spread: float

    @property
    def larger(self) -> float:
        """Of both."""
        return max(self.shift, self.spread)


def trace(moments: Sequence[BatchNormMoments], bank: Statistics) -> Traces:
    """The traces of images that were measured under ``bank``."""
    layers = tuple(sorted(moments[0].layers)) if moments else ()
    values = np.array([[_trace(each.layers[layer], bank, layer) for layer in layers] for each in moments], np.float64)
    return Traces(layers, values.reshape(len(moments), len(layers), 2))


def _trace(found: LayerMoments, bank: Statistics, layer: str) -> tuple[float, float]:
    shift, spread = _against(np.array(found.mean), np.array(found.variance), bank, layer)
    return float(shift.mean()), float(spread.mean())


def _against(mean: Values, variance: Values, bank: Statistics, layer: str) -> tuple[Values, Values]:
    """By channel: the difference of the means in standard deviations, and the logarithm of the ratio of the standard deviations."""
    expected, width = bank[f"{layer}.running_mean"].astype(np.float64), bank[f"{layer}.running_var"].astype(np.float64) + _LEAST_VARIANCE
    return (mean - expected) / np.sqrt(width), 0.5 * np.log((variance + _LEAST_VARIANCE) / width)


def bank_distances(moments: Sequence[BatchNormMoments], bank: Statistics) -> dict[str, LayerDistance]:
    """By layer, of the images pooled; nothing where there is none."""
    return {layer: _distance([each.layers[layer] for each in moments], bank, layer) for layer in (moments[0].layers if moments else ())}


def _distance(found: Sequence[LayerMoments], bank: Statistics, layer: str) -> LayerDistance:
    means = np.array([each.mean for each in found])
    variance = np.array([each.variance for each in found]).mean(axis=0) + means.var(axis=0)
    shift, spread = _against(means.mean(axis=0), variance, bank, layer)
    return LayerDistance(float(np.sqrt((shift**2).mean())), float(np.sqrt((spread**2).mean())))


def layer_scores(reference: Traces, recent: Traces) -> Values:
    """(layers, 2): how far both means lie apart, in standard errors."""
    both = np.concatenate([reference.values, recent.values])
    error = both.std(axis=0) * np.sqrt(1 / len(reference) + 1 / len(recent)) + 1e-12
    return np.asarray((recent.values.mean(axis=0) - reference.values.mean(axis=0)) / error)


def traces_differ(reference: Traces, recent: Traces, seed: int = 0) -> float:
    """The p value of "no layer has changed": the largest score of any layer, against those of random divisions of all images in two."""
    both = np.concatenate([reference.values, recent.values]).reshape(len(reference) + len(recent), -1)
    standard = (both - both.mean(axis=0)) / (both.std(axis=0) + 1e-12)
    random = np.random.default_rng(seed)
    order = random.permuted(np.tile(np.arange(len(both)), (PERMUTATIONS + 1, 1)), axis=1)
    order[0] = np.arange(len(both))
    # The mean of one part tells that of the other, so it alone orders the divisions.
    chosen = order >= len(reference)
    largest = np.abs(chosen @ standard).max(axis=1)
    return float(np.mean(largest >= largest[0] - 1e-9))


def image_signal(traces: Traces) -> Values:
    """(n,): what a chart follows, the spread over all layers: a scanner that processes with more or less contrast moves every one of them."""
    return np.asarray(traces.values[:, :, 1].mean(axis=1))
