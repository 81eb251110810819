from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from include.sr_model import zoo  # noqa: E402
from include.sr_model.backends.torch import Luma  # noqa: E402

PUBLISHED = Path(__file__).parent / "data" / "torch_neuron_operators.txt"


def supported() -> set[str]:
    lines = PUBLISHED.read_text(encoding="utf-8").splitlines()
    return {name for line in lines if not line.startswith("#") for name in line.split()}


def operators(module: object, example: object) -> set[str]:
    """Return the operators of the traced module, as the vendor's compiler meets them."""
    return {node.kind() for node in torch.jit.trace(module, example).inlined_graph.nodes()}


@pytest.mark.parametrize("entry", zoo.available(), ids=lambda entry: entry.stem)
def test_neuron_publishes_support_for_every_operator_of_our_networks(entry: zoo.Entry) -> None:
    # What it does not support it would leave to the host's processor, silently, and cut the network into pieces.
    used = operators(Luma(entry.network).eval(), torch.zeros(4, 1, 64, 64))
    assert {"aten::_convolution", "aten::leaky_relu", "aten::pixel_shuffle"} <= used
    assert used - supported() == set()


def test_an_operator_that_is_not_on_the_list_would_be_found() -> None:
    # What PyTorch calls it depends on its version.
    padding = operators(torch.nn.ReplicationPad2d(2), torch.zeros(1, 1, 8, 8))
    assert padding - supported() in ({"aten::pad"}, {"aten::replication_pad2d"})
