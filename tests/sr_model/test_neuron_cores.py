from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from include.errors import InternalError  # noqa: E402
from include.sr_model import zoo  # noqa: E402
from include.sr_model.backends import neuron  # noqa: E402
from include.sr_model.backends.neuron_cores import NeuronCores, core_environments  # noqa: E402
from include.sr_model.network import run  # noqa: E402

SHAPE = (2, 24, 24)


@pytest.mark.parametrize(
    ("environment", "devices", "expected"),
    [
        ({}, 1, [{"NEURON_RT_NUM_CORES": "1"}] * 4),
        ({}, 4, [{"NEURON_RT_NUM_CORES": "1"}] * 16),
        ({"NEURON_RT_NUM_CORES": "2"}, 1, [{"NEURON_RT_NUM_CORES": "1"}] * 2),
        ({"NEURON_RT_VISIBLE_CORES": "0-2,5"}, 1, [{"NEURON_RT_VISIBLE_CORES": core} for core in "0125"]),
        ({"NEURON_RT_VISIBLE_CORES": "3", "NEURON_RT_NUM_CORES": "4"}, 1, [{"NEURON_RT_VISIBLE_CORES": "3"}]),
        ({}, 0, [{"NEURON_RT_NUM_CORES": "1"}]),
    ],
    ids=["one device", "four devices", "so many", "named", "a name beats a number", "no device, for tests"],
)
def test_each_core_has_a_process(environment: dict[str, str], devices: int, expected: list[dict[str, str]]) -> None:
    assert core_environments("torch_neuron", environment, devices) == expected


def test_a_device_of_the_second_generation_has_two_cores() -> None:
    assert len(core_environments("torch_neuronx", {}, 3)) == 6


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network compiled by the stand-in of the vendor's module; two cores."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts" / "stand_ins"))
    monkeypatch.delitem(sys.modules, "torch_neuron", raising=False)
    monkeypatch.delenv("NEURON_RT_VISIBLE_CORES", raising=False)
    monkeypatch.setenv("NEURON_RT_NUM_CORES", "2")
    return neuron.compile_network("neuron", zoo.find(2), tmp_path, tile=SHAPE[1], batch=SHAPE[0])


def processes() -> set[int]:
    """Return the processes of cores that this one has started."""
    found = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "neuron_core "], capture_output=True, text=True, check=False)
    return {int(line) for line in found.stdout.split()}


def test_cores_compute_and_end_with_their_pool(compiled: Path) -> None:
    cores = NeuronCores("torch_neuron", compiled, SHAPE, 2)
    assert len(cores) == len(processes()) == 2
    for seed in range(3):
        tiles = np.random.default_rng(seed).random((SHAPE[0], 1, *SHAPE[1:]), np.float32)
        made = cores.forward(tiles)
        for tile, result in zip(tiles, made, strict=True):
            np.testing.assert_allclose(result[0], run(zoo.find(2).network, tile[0]), atol=1e-4)
    cores.close()
    assert not processes()


def test_a_core_that_is_killed_fails_the_unit_instead_of_hanging_it(compiled: Path) -> None:
    cores = NeuronCores("torch_neuron", compiled, SHAPE, 2)
    for process in processes():
        os.kill(process, signal.SIGKILL)
    with pytest.raises(InternalError, match="exit code -9"):
        cores.forward(np.zeros((SHAPE[0], 1, *SHAPE[1:]), np.float32))
    cores.close()


def test_a_core_that_does_not_come_up_is_told_and_leaves_nothing(tmp_path: Path, compiled: Path) -> None:
    (tmp_path / "damaged.pt").write_bytes(b"no network")
    with pytest.raises(InternalError, match="exit code 1"):
        NeuronCores("torch_neuron", tmp_path / "damaged.pt", SHAPE, 2)
    assert not processes()
