from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from include.errors import InternalError, ParameterError  # noqa: E402
from include.sr_model import zoo  # noqa: E402
from include.sr_model.backends import neuron  # noqa: E402
from include.sr_model.backends.base import Work  # noqa: E402
from include.sr_model.backends.openvino import OpenVinoSession  # noqa: E402
from include.sr_model.backends.select import open_session  # noqa: E402
from include.sr_model.picture import Geometry  # noqa: E402

STAND_INS = Path(__file__).parents[2] / "scripts" / "stand_ins"
DEVICES = ["torch", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"))]


def results(session: Any, geometry: Geometry, count: int = 3) -> list[np.ndarray[Any, Any]]:
    """Return what the session makes of some noise, all slots started before the first is waited for."""
    slots = session.slots(count)
    for seed, slot in enumerate(slots):
        slot.source.buffer[:] = np.random.default_rng(seed).integers(0, geometry.peak + 1, geometry.samples)
        slot.start()
    for slot in slots:
        slot.wait()
    found = [slot.result.buffer.copy() for slot in slots]
    session.close()
    return found


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("geometry", [Geometry(64, 48), Geometry(53, 37), Geometry(64, 48, 10)], ids=["even", "odd", "10-bit"])
def test_pytorch_makes_what_openvino_makes(tmp_path: Path, device: str, scale: int, geometry: Geometry) -> None:
    work = Work(zoo.find(scale), geometry, precision="fp32")
    pairs = zip(results(OpenVinoSession(work), geometry), results(open_session(device, work, tmp_path), geometry), strict=True)
    for expected, made in pairs:
        difference = np.abs(expected.astype(int) - made)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.001


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put modules that trace with PyTorch itself in the vendor's place, here and for the processes of two cores."""
    monkeypatch.syspath_prepend(str(STAND_INS))
    for name in ("torch_neuron", "torch_neuronx"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delenv("NEURON_RT_VISIBLE_CORES", raising=False)
    monkeypatch.setenv("NEURON_RT_NUM_CORES", "2")


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("name", ["neuron", "neuronx"])
def test_neuron_makes_what_openvino_makes_tile_by_tile(tmp_path: Path, name: str) -> None:
    geometry, entry = Geometry(93, 61), zoo.find(2)
    path = neuron.compile_network(name, entry, tmp_path, tile=40, batch=3)
    assert path == neuron.compiled_path(tmp_path, name, entry, 40, 3)
    work = Work(entry, geometry, precision="fp32")
    session = neuron.neuron_session(name, work, tmp_path, tile=40, batch=3)
    for expected, made in zip(results(OpenVinoSession(work), geometry), results(session, geometry), strict=True):
        difference = np.abs(expected.astype(int) - made)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.001


def test_pictures_smaller_than_a_tile_are_computed_by_the_host(tmp_path: Path) -> None:
    work = Work(zoo.find(2), Geometry(256, neuron.TILE - 2), precision="fp32")
    session = open_session("neuron", work, tmp_path)
    assert session.name == "torch"
    for expected, made in zip(results(OpenVinoSession(work), work.geometry), results(session, work.geometry), strict=True):
        assert np.abs(expected.astype(int) - made).max() <= 1


def test_single_precision_is_not_shortened(tmp_path: Path) -> None:
    torch.backends.cudnn.allow_tf32 = True
    open_session("torch", Work(zoo.find(2), Geometry(64, 36)), tmp_path)
    assert not torch.backends.cudnn.allow_tf32


def test_a_network_that_was_not_compiled_is_told(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"include.sr_model compile --backend neuron --scale 2 --model fast"):
        open_session("neuron", Work(zoo.find(2), Geometry(640, 360)), tmp_path)


def test_a_backend_that_is_not_there_is_told(tmp_path: Path) -> None:
    work = Work(zoo.find(2), Geometry(640, 360))
    with pytest.raises(ParameterError, match="abacus"):
        open_session("abacus", work, tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(InternalError, match="no device"):
            open_session("cuda", work, tmp_path)
