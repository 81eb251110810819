"""Compares two versions of a video or still: side by side for the eye, and each in figures against a reference."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from include.errors import InvalidInputData, OutputNotSupported
from include.ffmpeg_ops import runner
from include.ffmpeg_ops.quality import IDENTICAL_PSNR
from include.ffmpeg_ops.runner import Command
from include.ffmpeg_ops.tools import has_filter
from include.media_store.scratch import folder_beside
from include.settings import Settings
from include.sr_model.stills import SUFFIXES, read_still, write_raw, write_still

__all__ = ["measure", "side_by_side"]

_VIDEOS = (".mp4", ".mov", ".mkv")


def side_by_side(first: Path, second: Path, out: Path, *, settings: Settings | None = None) -> None:
    """Write ``out``: ``first`` on the left, ``second`` on the right.

    A PNG shows the first frames; a video (mp4, mov, mkv) all of them. The second is brought to the size of the first.
    """
    suffix = out.suffix.lower()
    if suffix != ".png" and suffix not in _VIDEOS:
        raise OutputNotSupported(f"{out.name} is neither a PNG nor one of {', '.join(_VIDEOS)}.")
    graph = f"{_PAIR};[a][b]hstack"
    with folder_beside(out) as folder:
        inputs = ["ffmpeg", *_input(first, folder), *_input(second, folder), "-filter_complex"]
        if suffix != ".png":
            encode = ("-c:v", "libx264", "-crf", "12", "-preset", "veryfast", "-fps_mode", "passthrough")
            made = folder / f"pair{suffix}"
            runner.run(
                Command((*inputs, f"{graph},format=yuv420p[v]", "-map", "[v]", *encode, f"file:{made}")), settings=settings
            )
            made.replace(out)
            return
        raw = folder / "pair.nut"
        argv = (*inputs, f"{graph},format=rgb24[v]", "-map", "[v]", "-frames:v", "1", "-c:v", "rawvideo", f"file:{raw}")
        runner.run(Command(argv), settings=settings)
        write_still(read_still(raw), out)


def measure(path: Path, reference: Path, *, settings: Settings | None = None) -> dict[str, float]:
    """Return ``{"psnr_y", "psnr", "ssim"[, "vmaf"]}`` of ``path`` against ``reference``, which has its size.

    PSNR (dB, at most 100) is of the mean squared error over all frames, SSIM the mean over frames; VMAF where ffmpeg has it.
    Raises :class:`InvalidInputData` where both differ in their number of frames, and what
    :func:`include.ffmpeg_ops.runner.run` raises where they differ in size.
    """
    vmaf = has_filter("libvmaf", settings)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        inputs = [_input(side, folder) for side in (path, reference)]
        # The filters would go on with the last frame of the shorter one.
        frames, expected = (_frames(side, settings) for side in inputs)
        if frames != expected or not frames:
            raise InvalidInputData(
                f"{path.name} has {frames} frames and {reference.name} {expected}: they cannot be compared frame by frame."
            )
        logs = {name: folder / name for name in ("psnr", "ssim")}
        filters = [f"{name}=stats_file={log}" for name, log in logs.items()] + (["libvmaf"] if vmaf else [])
        # Frames are compared by their place.
        tail = f"format=yuv420p,settb=1/1,setpts=N,split={len(filters)}"
        ends = ["".join(f"[{side}{n}]" for n in range(len(filters))) for side in "ab"]
        graph = f"[0:v:0]{tail}{ends[0]};[1:v:0]{tail}{ends[1]};"
        graph += ";".join(f"[a{n}][b{n}]{name}[o{n}]" for n, name in enumerate(filters))
        argv = ["ffmpeg", *inputs[0], *inputs[1], "-filter_complex", graph]
        for number in range(len(filters)):
            argv += ["-map", f"[o{number}]", "-f", "null", "/dev/null"]
        # VMAF is told at the end, at a level that the log does not have.
        done = runner.run(Command((*argv, "-loglevel", "level+info")), settings=settings)
        errors = [_fields(line) for line in logs["psnr"].read_text(encoding="utf-8").splitlines()]
        alike = [_fields(line) for line in logs["ssim"].read_text(encoding="utf-8").splitlines()]
    values = {
        "psnr_y": _psnr(sum(item["mse_y"] for item in errors) / len(errors)),
        "psnr": _psnr(sum(item["mse_avg"] for item in errors) / len(errors)),
        "ssim": sum(item["All"] for item in alike) / len(alike),
    }
    for line in done.log:
        if found := re.search(r"VMAF score: ([\d.]+)", line.message):
            values["vmaf"] = float(found[1])
    return values


_PAIR = "[0:v:0]setsar=1,format=yuv444p[a0];[1:v:0]setsar=1,format=yuv444p[b0];[b0][a0]scale2ref[b1][a];[b1]setsar=1[b]"


def _input(path: Path, folder: Path) -> list[str]:
    if path.suffix.lower() in SUFFIXES:
        # Not every ffmpeg can read or write PNG.
        path = write_raw(read_still(path), folder / f"{len(list(folder.iterdir()))}.nut")
    return [*runner.input_options(), "-i", f"file:{path.resolve()}"]


def _frames(side: Sequence[str], settings: Settings | None) -> int:
    argv = ("ffmpeg", *side, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "null", "/dev/null")
    return runner.run(Command(argv), settings=settings).frames or 0


def _fields(line: str) -> dict[str, float]:
    # The likeness of a picture and its negative is below zero, that of pictures smaller than the filter's window may be nothing.
    return {name: float(value) for name, value in re.findall(r"(\w+):(-?(?:[\d.]+|inf|nan))", line)}


def _psnr(error: float) -> float:
    return min(IDENTICAL_PSNR, 10 * math.log10(255**2 / error)) if error > 0 else IDENTICAL_PSNR
