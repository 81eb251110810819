"""Measures this machine: each network alone on each backend, and the whole way beside ffmpeg's lanczos with the same encoder.

Every figure is the best of some runs: other programs make a run slower, never faster. Processor seconds are told, too, since
they hardly depend on what else runs.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from include.errors import InternalError, MediaError
from include.ffmpeg_ops import runner
from include.ffmpeg_ops.probe import probe
from include.ffmpeg_ops.runner import Command
from include.settings import get_settings
from include.sr_model import zoo
from include.sr_model.backends.base import Work
from include.sr_model.backends.select import open_session
from include.sr_model.models import Upscaled, UpscaleTask
from include.sr_model.picture import Geometry
from include.sr_model.upscale import CONCURRENT, SLOTS, upscale
from include.sr_model.whole import task_for

__all__ = ["Timed", "bench", "best", "lanczos", "network_fps"]

FRAMES = 60
CRF = 18


@dataclass(frozen=True)
class Timed:
    """What a run took."""

    wall: float
    cpu: float


def bench(clip: Path | None = None, *, scale: int = 2, model: str = "fast", preset: str = "veryfast", runs: int = 3) -> None:
    """Print a table of networks, then the whole way for ``clip`` (default: twelve seconds of 640x360, made now)."""
    print(f"{os.cpu_count()} processors; best of {runs} runs")
    print("\nnetwork alone, 640x360, frames a second (processor milliseconds a frame)")
    for entry in zoo.available():
        if entry.scale != scale or entry.variant != "video":
            continue
        cells = [f"  {entry.stem:14}"]
        for backend, precision in (("openvino", "int8"), ("openvino", "bf16"), ("openvino", "fp32"), ("cuda", "fp16")):
            try:
                fps, milliseconds = network_fps(entry, backend, precision, runs=runs)
            except (InternalError, ImportError):
                continue
            cells.append(f"{backend} {precision} {fps:6.1f} ({milliseconds:5.1f})")
        print("   ".join(cells), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        _whole_way(clip or make_clip(scratch / "clip.mp4"), scratch, scale=scale, model=model, preset=preset, runs=runs)


def network_fps(entry: zoo.Entry, backend: str, precision: str, *, runs: int = 3) -> tuple[float, float]:
    """Return frames a second and processor milliseconds a frame of the network alone, 640x360, 8 bit."""
    geometry = Geometry(640, 360)
    work = Work(entry, geometry, precision=precision, concurrent=CONCURRENT)
    session = open_session(backend, work, get_settings().sr_compiled_dir)
    slots = session.slots(SLOTS)
    for seed, slot in enumerate(slots):
        slot.source.buffer[:] = np.random.default_rng(seed).integers(0, 256, geometry.samples)

    def once() -> None:
        for number in range(FRAMES):
            slot = slots[number % SLOTS]
            if number >= SLOTS:
                slot.wait()
            slot.start()
        for slot in slots:
            slot.wait()

    once()
    took = best(once, runs)
    session.close()
    return FRAMES / took.wall, took.cpu / FRAMES * 1000


def lanczos(source: Path, task: UpscaleTask, out: Path) -> None:
    """Do with ffmpeg's lanczos scaler what :func:`include.sr_model.upscale.upscale` does, with the same encoder settings."""
    size = f"scale={task.stream.width * task.scale}:{task.stream.height * task.scale}:flags=lanczos"
    encode = ["-c:v", "libx264", "-preset", task.preset, "-crf", f"{task.crf:g}", "-fps_mode", "passthrough"]
    argv = ["ffmpeg", *runner.input_options(), "-i", f"file:{source}", "-map", f"0:{task.stream.index}", "-vf", size, *encode]
    runner.run(Command((*argv, f"file:{out}")))


def make_clip(path: Path) -> Path:
    """Write twelve seconds of 640x360 that moves everywhere and is as hard to encode as camera footage; return ``path``."""
    graph = (
        "mandelbrot=s=640x360:r=25:maxiter=120:end_scale=0.05,format=yuv420p[a];gradients=s=640x360:r=25:speed=0.02:seed=7,"
        "format=yuv420p[b];[a][b]blend=all_mode=softlight,noise=alls=4:allf=t:all_seed=7,format=yuv420p[v]"
    )
    argv = ("ffmpeg", "-filter_complex", graph, "-map", "[v]", "-t", "12", "-c:v", "libx264", "-preset", "veryfast", "-crf", "23")
    runner.run(Command((*argv, f"file:{path}")))
    return path


def _whole_way(clip: Path, scratch: Path, *, scale: int, model: str, preset: str, runs: int) -> None:
    info, index = probe(clip, settings=get_settings(), damage_policy="strict")
    task = task_for(info, index, scale=scale, model=model, preset=preset, crf=CRF)
    made: list[Upscaled] = []
    try:
        ours = best(lambda: made.append(upscale(clip, task, scratch / "ours.mp4")), runs)
    except MediaError as error:
        print(f"\nthe whole way cannot be measured: {error.message}")
        return
    theirs = best(lambda: lanczos(clip, task, scratch / "lanczos.mp4"), runs)
    size = f"{info.video.width}x{info.video.height} to {made[0].width}x{made[0].height}"
    print(f"\nthe whole way, {size}, {task.frames} frames, x264 {preset} CRF {CRF}")
    for name, timed in ((f"{task.model} on {made[0].backend} {made[0].precision}", ours), ("ffmpeg's lanczos", theirs)):
        print(f"  {name:28} {task.frames / timed.wall:6.1f} frames/s   {timed.wall:6.2f} s, {timed.cpu:6.2f} of the processor")
    print(
        f"  ratio                        {theirs.wall / ours.wall:6.2f}            by processor time {theirs.cpu / ours.cpu:.2f}"
    )
    seconds = min((item.seconds for item in made), key=lambda item: item.wall)
    print(
        f"  where the time goes (overlapping): waiting for the decoder {seconds.decode:.2f} s, for the network "
        f"{seconds.network:.2f} s, in the encoder {seconds.encode:.2f} s, verifying {seconds.verify:.2f} s, "
        f"starting {seconds.start:.2f} s; decoder's processor time {seconds.decoder_cpu:.2f} s"
    )


def best(run: Callable[[], object], runs: int) -> Timed:
    """Return the least wall and processor seconds of ``run``, this process and its children together."""
    found = []
    for _ in range(runs):
        cpu, wall = _cpu(), time.monotonic()
        run()
        found.append(Timed(time.monotonic() - wall, _cpu() - cpu))
    return Timed(min(item.wall for item in found), min(item.cpu for item in found))


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)
