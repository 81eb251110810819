"""A large network that begins as a small one: more features and one more layer, the same output.

Training on from there is worth hours of training from nothing (Net2Net, Chen et al., ICLR 2016).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from include.sr_model.network import Network, Spec
from include.sr_model.training.blocks import Trainee

__all__ = ["impose", "widened"]

NEW_WEIGHTS = 0.05
"""Standard deviation of the weights that read into new features: nothing reads those yet, and equal ones would stay equal."""

Weights = tuple[NDArray[np.float32], NDArray[np.float32]]


def widened(small: Network, spec: Spec, seed: int = 0) -> Network:
    """Return a network of ``spec``'s shape that computes what ``small`` does.

    It has the scale and slope of ``small``, as many layers or one more, and at least as many features; twice as many where it has
    one layer more. Raises :class:`ValueError` for other shapes.
    """
    more = spec.layers - small.spec.layers
    fits = (spec.scale, spec.slope) == (small.spec.scale, small.spec.slope) and more in (0, 1)
    if not fits or spec.features < small.spec.features * (1 + more):
        raise ValueError(f"{small.spec} cannot be widened to {spec}")
    layers = list(small.weights)
    if more:
        middle = len(layers) // 2
        layers[middle : middle + 1] = [_two_signs(small.spec), _of_two_signs(layers[middle], spec.slope)]
    generator = np.random.default_rng(seed)
    return Network(
        spec,
        tuple(_padded(layer, into, out, generator) for layer, (into, out) in zip(layers, spec.channels, strict=True)),
    )


def _two_signs(spec: Spec) -> Weights:
    """Return a layer that gives every feature twice, with both signs: then a leaky ReLU behind it loses nothing."""
    weight = np.zeros((2 * spec.features, spec.features, 3, 3), np.float32)
    each = np.arange(spec.features)
    weight[each, each, 1, 1] = 1
    weight[spec.features + each, each, 1, 1] = -1
    return weight, np.zeros(2 * spec.features, np.float32)


def _of_two_signs(layer: Weights, slope: float) -> Weights:
    """Return ``layer`` for input that went through :func:`_two_signs`: leaky(x) - leaky(-x) is (1 + slope) x."""
    weight, bias = layer
    half = weight / np.float32(1 + slope)
    return np.concatenate([half, -half], axis=1), bias


def _padded(layer: Weights, into: int, out: int, generator: np.random.Generator) -> Weights:
    weight, bias = layer
    known_out, known_in = weight.shape[:2]
    padded = np.zeros((out, into, 3, 3), np.float32)
    padded[:known_out, :known_in] = weight
    padded[known_out:] = generator.normal(0, NEW_WEIGHTS, padded[known_out:].shape)
    return padded, np.concatenate([bias, np.zeros(out - known_out, np.float32)])


@torch.no_grad()  # type: ignore[untyped-decorator]
def impose(trainee: Trainee, network: Network) -> None:
    """Make ``trainee`` compute what ``network``, of the same shape, does; its branches stay as they are."""
    for block, (weight, bias) in zip(trainee.blocks, network.weights, strict=True):
        block.plain += (torch.from_numpy(weight) - block.collapsed()).reshape(block.plain.shape)
        block.bias.copy_(torch.from_numpy(bias))
