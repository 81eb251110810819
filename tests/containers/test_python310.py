"""What the image for Inferentia 1 shares with the others runs on its Python 3.10 and with its PyTorch 1.13.1."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ("errors.py", "settings.py", "ffmpeg_ops", "media_store", "net", "sr_model", "worker")
# Networks are trained elsewhere, and only the media pages give out addresses: what these need is not in the image.
ELSEWHERE = ("training/", "media_store/addresses.py")
# Every name of PyTorch that the backends on Neuron may use: found in 1.13.1 itself (TORCH=1 make test-py310 looks them up again).
TORCH_1_13 = set((Path(__file__).parent / "torch_1_13_names.txt").read_text(encoding="utf-8").split())
REQUIREMENTS = ROOT / "containers" / "worker-inf1" / "requirements.txt"
TORCH_MODULES = ("backends/torch.py", "backends/neuron.py", "backends/neuron_core.py")


def shared_files() -> list[Path]:
    """Return the modules that the image's units use."""
    found = (path for path in sorted((ROOT / "include").rglob("*.py")) if path.relative_to(ROOT / "include").parts[0] in SHARED)
    return [path for path in found if not any(part in path.as_posix() for part in ELSEWHERE)]


def test_no_syntax_is_newer_than_3_10() -> None:
    # What the standard library got later is judged by make lint: mypy knows since when each name, argument and method is there.
    for path in shared_files():
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 10))


def test_every_pinned_package_is_for_3_10_and_for_numpy_1() -> None:
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", REQUIREMENTS.read_text(encoding="utf-8"), re.M))
    assert pins["numpy"].startswith("1.")
    # They come with the image.
    assert not {"torch", "torch-neuron"} & set(pins)


def torch_names(tree: ast.AST) -> Iterator[str]:
    """Yield what is taken from PyTorch, with dots: ``torch.jit.load``, ``functional.conv2d``, ``nn.Module``."""
    for node in ast.walk(tree):
        parts: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if parts and isinstance(inner, ast.Name) and inner.id in {"torch", "nn", "functional"}:
            yield ".".join([inner.id, *reversed(parts)])


def test_the_networks_use_only_what_pytorch_1_13_has() -> None:
    trees = [ast.parse((ROOT / "include" / "sr_model" / file).read_text(encoding="utf-8")) for file in TORCH_MODULES]
    used = {name for tree in trees for name in torch_names(tree)}
    assert len(used) > 20
    assert used - TORCH_1_13 == set()


def test_every_recorded_name_is_one_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    roots = {"torch": torch, "nn": torch.nn, "functional": torch.nn.functional}
    for name in TORCH_1_13:
        first, *rest = name.split(".")
        place = roots[first]
        for part in rest:
            assert hasattr(place, part), f"PyTorch {torch.__version__} has no {name}"
            place = getattr(place, part)


@pytest.mark.skipif(sys.version_info[:2] != (3, 10), reason="for Python 3.10 (make test-py310)")
def test_every_module_can_be_imported() -> None:
    absent = set()
    for path in shared_files():
        try:
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
        except ModuleNotFoundError as error:
            absent.add(error.name)
    # The one is not in the image, the other comes with its base.
    assert absent <= {"openvino", "torch"}
