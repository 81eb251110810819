"""The network as ONNX: float32, or with QuantizeLinear pairs around what runs in 8 bit.

Graphs are built node by node from the collapsed weights, so what a backend sees is exactly what :mod:`include.sr_model.network`
describes: nothing is traced, folded or guessed. Needs the package ``onnx``, which only training does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from include.sr_model.network import SKIP_RADIUS, Network, skip_kernel

__all__ = ["Range", "build", "quantise_weight", "write"]

OPSET = 17
IR_VERSION = 9


@dataclass(frozen=True)
class Range:
    """What the values at a convolution's input lie between, as 8 unsigned bits: ``(q - zero) * step``."""

    step: float
    zero: int

    @classmethod
    def over(cls, low: float, high: float) -> Range:
        """Return the range from ``low`` (0 or less) to ``high``, in which 0, the padding, is exact."""
        step = max(high - low, 1e-6) / 255
        return cls(step, min(255, max(0, round(-low / step))))


def quantise_weight(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return ``weight [out, in, y, x]`` as 8 signed bits and the step of each output channel."""
    steps = np.maximum(np.abs(weight).max(axis=(1, 2, 3)), 1e-8) / 127
    return np.round(weight / steps[:, None, None, None]).astype(np.int8), steps.astype(np.float32)


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, name: str, inputs: Sequence[str], **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def quantised(self, name: str, source: str, span: Range) -> str:
        step = self.constant(f"{name}_step", np.float32(span.step).reshape(()))
        zero = self.constant(f"{name}_zero", np.uint8(span.zero).reshape(()))
        coded = self.add("QuantizeLinear", f"{name}_coded", [source, step, zero])
        return self.add("DequantizeLinear", name, [coded, step, zero])

    def quantised_weight(self, name: str, weight: NDArray[np.float32]) -> str:
        codes, steps = quantise_weight(weight)
        zeros = np.zeros(len(steps), np.int8)
        inputs = [self.constant(f"{name}_codes", codes), self.constant(f"{name}_steps", steps)]
        return self.add("DequantizeLinear", name, [*inputs, self.constant(f"{name}_zeros", zeros)], axis=0)


def build(network: Network, ranges: Sequence[Range | None] | None = None, notes: Mapping[str, str] | None = None) -> Any:
    """Return the ONNX model of ``network``: input ``luma [1, 1, H, W]``, output ``large [1, 1, s*H, s*W]``.

    ``ranges`` quantises: one per convolution, of its input; ``None`` in its place leaves that convolution in float32. The skip
    always stays in float32.
    """
    graph, spec = _Graph(), network.spec
    border = graph.constant("skip_border", np.array([0, 0, SKIP_RADIUS, SKIP_RADIUS] * 2, np.int64))
    padded = graph.add("Pad", "skip_padded", ["luma", border], mode="edge")
    skip = graph.add("Conv", "skip", [padded, graph.constant("skip_weight", skip_kernel(spec.scale))], kernel_shape=[5, 5])
    planes = "luma"
    for index, (weight, bias) in enumerate(network.weights):
        span, name = ranges[index] if ranges else None, f"conv{index}"
        if span is None:
            kernel = graph.constant(f"{name}_weight", weight)
        else:
            planes = graph.quantised(f"{name}_input", planes, span)
            kernel = graph.quantised_weight(f"{name}_weight", weight)
        inputs = [planes, kernel, graph.constant(f"{name}_bias", bias)]
        planes = graph.add("Conv", name, inputs, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        if index < spec.layers - 1:
            planes = graph.add("LeakyRelu", f"{name}_active", [planes], alpha=spec.slope)
    total = graph.add("Add", "cells", [planes, skip])
    graph.add("DepthToSpace", "large", [total], blocksize=spec.scale, mode="CRD")
    value = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            f"reelflow-x{spec.scale}-{spec.features}x{spec.layers}",
            [value("luma", TensorProto.FLOAT, [1, 1, "height", "width"])],
            [value("large", TensorProto.FLOAT, [1, 1, "large_height", "large_width"])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="reelflow",
    )
    model.ir_version = IR_VERSION
    helper.set_model_props(model, dict(notes or {}))
    onnx.checker.check_model(model, full_check=True)
    return model


def write(
    network: Network, path: Path, ranges: Sequence[Range | None] | None = None, notes: Mapping[str, str] | None = None
) -> None:
    """Write ``network`` to ``path`` as ONNX; see :func:`build`."""
    onnx.save(build(network, ranges, notes), path)
