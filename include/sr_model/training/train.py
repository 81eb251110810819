"""The training loop: L1, then squared error for the last part; Muon and Adam, rates that stay and then fall along a
cosine, an average of the weights over time.

Muon (Jordan et al. 2024) makes orthogonal steps for the matrices between the first and the last layer: after as many steps
``x2-fast-clean`` was 0.11 dB better than with Adam alone, and a step takes a quarter longer there, a seventh for ``quality``.
"""

from __future__ import annotations

import copy
import ctypes
import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from include.sr_model.network import Network
from include.sr_model.training.blocks import Trainee
from include.sr_model.training.measure import mean_psnr
from include.sr_model.training.patches import Pairs, batch
from include.sr_model.training.recipe import RECIPES, Recipe
from include.sr_model.training.widen import impose, widened

__all__ = ["keep_freed_memory", "train", "upscaler"]

logger = logging.getLogger(__name__)

Plane = NDArray[np.uint8]

SQUARED_SHARE = 0.15
FALL_SHARE = 0.5
"""Part of the training, at its end, in which the rate falls."""
RISING_STEPS = 150
"""Least length of the rate's rise: a faster one drives every weight to nothing, and plain interpolation is all that is learnt."""
AVERAGE = 0.999
STEADY_DEVIATION = 1.0
"""Standard deviation, in code values, of the small changes that a steady network answers as interpolation does."""
REPORTS = 40
"""Log lines of a training."""


def keep_freed_memory() -> None:
    """Tell glibc to keep what it frees: handing tensors back to the kernel made a step on a processor 14 times slower."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except OSError:
        return
    mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
    mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def upscaler(model: Trainee, device: str) -> Any:
    """Return ``model`` as a function from a plane of 8-bit luma to the large plane in code values."""

    def upscale(small: Plane) -> NDArray[np.float32]:
        with torch.no_grad():
            luma = torch.from_numpy(small)[None, None].to(device).float() / 255
            return (model(luma)[0, 0].float() * 255).cpu().numpy()  # type: ignore[no-any-return]

    return upscale


def _has_bfloat16(device: str) -> bool:
    """Tell whether bfloat16 is faster there: half the time of a step on processors that have it, and a loss on others."""
    return device == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _rate(progress: float, step: int) -> float:
    falling = max(0.0, min(1.0, progress) - 1 + FALL_SHARE) / FALL_SHARE
    return min(1.0, progress / 0.01, (step + 1) / RISING_STEPS) * 0.5 * (1 + math.cos(math.pi * falling))


def _begin(model: Trainee, start: str, known: dict[str, Any]) -> None:
    """Let ``model`` begin as the network ``start`` with the weights ``known``: widened, or without the head of another scale."""
    spec = RECIPES[start].spec
    if spec.features != model.spec.features:
        small = Trainee(spec)
        small.load_state_dict(known)
        impose(model, widened(small.network(), model.spec))
        return
    own = model.state_dict()
    same = {name: value for name, value in known.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(own | same)


class _Training:
    """A model, the average of its weights, and all else that goes into a checkpoint."""

    def __init__(self, recipe: Recipe, folder: Path, device: str, seed: int, known: Network | None = None) -> None:
        torch.manual_seed(seed)
        self.recipe, self.device = recipe, device
        self.checkpoint = folder / f"{recipe.stem}.pt"
        self.generator = torch.Generator().manual_seed(seed)
        model = Trainee(recipe.spec)
        start = folder / f"{recipe.start}.pt"
        if known:
            impose(model, known)
        elif recipe.start and start.is_file():
            _begin(model, recipe.start, torch.load(start, map_location="cpu", weights_only=True)["average"])
        self.model = model.to(device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model)
        inner = [matrix for block in self.model.blocks[1:-1] for matrix in block.parameters() if matrix.ndim == 2]
        matrices = set(inner)
        others = [parameter for parameter in self.model.parameters() if parameter not in matrices]
        # Each step sets the rates from these.
        self.peaks = {"adam": recipe.rate, "muon": recipe.matrix_rate}
        self.optimisers: dict[str, Any] = {"adam": torch.optim.Adam(others, betas=(0.9, 0.99), foreach=True)}
        if inner:
            self.optimisers["muon"] = torch.optim.Muon(inner, weight_decay=0)
        self.step, self.seconds = 0, 0.0

    def load(self) -> bool:
        """Go on from the checkpoint; tell whether there was one."""
        if not self.checkpoint.is_file():
            return False
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state[name])
        self.generator.set_state(state["generator"])
        self.step, self.seconds = state["step"], state["seconds"]
        return True

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        parts = {"model": self.model, "average": self.average, **self.optimisers}
        state = {name: part.state_dict() for name, part in parts.items()}
        new = self.checkpoint.with_suffix(".new")
        torch.save({**state, "generator": self.generator.get_state(), "step": self.step, "seconds": self.seconds}, new)
        new.replace(self.checkpoint)

    def advance(self, pairs: Pairs, progress: float) -> Any:
        """Make one step; return its loss."""
        for name, optimiser in self.optimisers.items():
            optimiser.param_groups[0]["lr"] = self.peaks[name] * _rate(progress, self.step)
        small, large = batch(pairs, self.recipe.batch, self.recipe.side, self.generator)
        last_part = progress >= 1 - SQUARED_SHARE
        count, steady = len(small), self.recipe.steady
        if steady:
            change = torch.randn(small.shape, generator=self.generator) * (STEADY_DEVIATION / 255)
            small = torch.cat([small, small + change.to(small.device)])
        with torch.autocast(self.device, torch.bfloat16, enabled=_has_bfloat16(self.device) and not last_part):
            made = self.model(small.to(memory_format=torch.channels_last)).float()
        difference = made[:count] - large
        # Published tables count squared errors; L1 gets near them faster, the last part goes the rest of the way.
        loss = difference.square().mean() * 10 if last_part and not steady else difference.abs().mean()
        if steady:
            with torch.no_grad():
                plain = self.model.interpolated(small[count:] - small[:count])
            loss = loss + steady * (made[count:] - made[:count] - plain).abs().mean()
        self.model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        for optimiser in self.optimisers.values():
            optimiser.step()
        self.step += 1
        keep = min(AVERAGE, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - keep)
        return loss.detach()


def train(
    recipe: Recipe,
    pairs: Pairs,
    held_out: Sequence[tuple[Plane, Plane]],
    folder: Path,
    log: Path,
    *,
    device: str = "cpu",
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 1,
    known: Network | None = None,
) -> Trainee:
    """Train ``recipe`` on ``pairs`` and return the averaged model, on the processor.

    ``minutes`` end the training at that time, with the rate's schedule fitted to it, or ``steps`` (by default the recipe's) do.
    ``folder`` holds checkpoints: a training that was stopped goes on where it was, a finished one is only read. Without one it
    begins as ``known``, of the recipe's shape, or as the recipe says.
    ``log`` gets JSON lines: step, seconds, loss, and PSNR of the ``held_out`` pictures in dB.
    """
    training, wanted = _Training(recipe, folder, device, seed, known), steps or recipe.steps
    if not training.load():
        log.write_text("")
    pairs, began = pairs.to(device), time.monotonic() - training.seconds

    def progress() -> float:
        by_time = (time.monotonic() - began) / 60 / minutes if minutes else 0.0
        return max(training.step / wanted, by_time)

    done = progress()
    due = done + 1 / REPORTS
    while done < 1:
        loss, done = training.advance(pairs, done), progress()
        if done < min(due, 1):
            continue
        due = done + 1 / REPORTS
        training.seconds = time.monotonic() - began
        quality = mean_psnr(held_out, upscaler(training.average, device)) if held_out else 0.0
        line = json.dumps(
            {"step": training.step, "seconds": round(training.seconds), "loss": round(float(loss), 6), "psnr": round(quality, 3)}
        )
        logger.info("%s %s", recipe.stem, line)
        with log.open("a") as file:
            file.write(line + "\n")
        training.save()
    average: Trainee = training.average.cpu()
    return average
