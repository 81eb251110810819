"""Runs a clip through probing, cutting, encoding and packaging with two small rungs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from include.ffmpeg_ops import encode, ladder, package, probe, timeline
from include.ffmpeg_ops.models import AudioTask, Plan, Rung, VideoTask
from include.ffmpeg_ops.package import Package
from include.settings import Settings
from tests.media import MediaCache

__all__ = ["Encoded", "Jobs", "Packaged"]

CONTAINERS = ("mpegts", "fmp4", "mp4")


@dataclass(frozen=True)
class Encoded:
    """A plan and the files of its units; ``tasks`` made the chunks from ``source``."""

    source: Path
    plan: Plan
    tasks: tuple[VideoTask, ...]
    parts: dict[str, list[Path]]
    audio: list[Path]
    thumbnails: list[Path]

    def with_part(self, rung: str, chunk: int, path: Path) -> Encoded:
        """The same with another file for one chunk of one rung."""
        files = [*self.parts[rung]]
        files[chunk] = path
        return replace(self, parts={**self.parts, rung: files})

    def with_plan(self, **changes: Any) -> Encoded:
        """The same with a changed plan."""
        return replace(self, plan=self.plan.model_copy(update=changes))

    def package(self, out_dir: Path, name: str = "clip") -> Packaged:
        """Package it, unverified."""
        if self.plan.container == "mp4":
            made = package.package_file(self.plan, self.parts, self.audio, out_dir, name)
        else:
            made = package.package_hls(self.plan, self.parts, self.audio, self.thumbnails, out_dir, name)
        return Packaged(self.plan, made, out_dir)


@dataclass(frozen=True)
class Packaged:
    """What :func:`include.ffmpeg_ops.verify.verify_package` is given."""

    plan: Plan
    package: Package
    folder: Path

    @property
    def entry(self) -> Path:
        """The master playlist or the MP4."""
        return self.folder / self.package.entry

    def copy(self, folder: Path) -> Packaged:
        """A copy that may be damaged."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return replace(self, folder=folder)


class Jobs:
    """Makes and keeps encoded clips."""

    def __init__(self, clip: MediaCache, folder: Path) -> None:
        self.clip = clip
        self.folder = folder
        self._encoded: dict[str, Encoded] = {}
        self._packaged: dict[tuple[str, str], Packaged] = {}

    def encode(self, name: str, container: str = "mpegts", *, chunk_seconds: float = 4) -> Encoded:
        """Encode clip ``name`` in the rungs ``low`` and ``high`` (an MP4 has the latter)."""
        key = f"{name}-{chunk_seconds:g}"
        if key not in self._encoded:
            self._encoded[key] = _encode(self.clip(name), self.folder / key, chunk_seconds)
        found = self._encoded[key]
        if container == "mp4":
            return found.with_plan(container="mp4", rungs=found.plan.rungs[-1:])
        return found.with_plan(segment_type=container)

    def package(self, name: str, container: str = "mpegts") -> Packaged:
        """Encode and package clip ``name``."""
        key = (name, container)
        if key not in self._packaged:
            self._packaged[key] = self.encode(name, container).package(self.folder / f"{name}-{container}")
        return self._packaged[key]


@contextmanager
def _short_chunks() -> Iterator[None]:
    # Short clips get several chunks, so that there is something to join.
    kept, timeline.SHORTEST_CHUNK = timeline.SHORTEST_CHUNK, 2
    try:
        yield
    finally:
        timeline.SHORTEST_CHUNK = kept


def _encode(source: Path, folder: Path, chunk_seconds: float) -> Encoded:
    settings = Settings()
    info, index = probe.probe(source, settings=settings)
    with _short_chunks():
        timing, chunks = timeline.cut(
            index,
            info,
            chunk_seconds=chunk_seconds,
            max_chunks=200,
            slots=1,
            gop_seconds=Fraction(2),
            segment_seconds=6,
            thumbnail_seconds=2,
        )
    video = info.video
    size = {"width": video.display_width // 2 * 2, "height": video.display_height // 2 * 2}
    rungs = (
        Rung(name="low", width=64, height=36, bit_rate=200_000, crf=26, preset="veryfast", h264_profile="main"),
        Rung(name="high", **size, bit_rate=800_000, crf=20, preset="veryfast"),
    )
    targets = ladder.audio_targets(ladder.load_profile("hls_ladder"), info)
    plan = Plan(
        info=info, timing=timing, chunks=chunks, rungs=rungs, audio=targets, container="hls", thumbnail_seconds=2, profile="test"
    )
    made = Encoded(source, plan, (), {rung.name: [] for rung in rungs}, [], [])
    tasks = []
    for chunk in chunks:
        task = VideoTask(stream=video, timing=timing, chunk=chunk, rungs=rungs, threads=2)
        files = encode.run_chunk(source, task, _made(folder / str(chunk.index)))
        tasks.append(task)
        for rung in rungs:
            made.parts[rung.name].append(files[rung.name])
        made.thumbnails.extend(files[role] for role in sorted(files) if role.startswith("thumbnail"))
    if targets:
        files = encode.run_audio(source, AudioTask(targets=targets), _made(folder / "audio"))
        made.audio.extend(files[f"audio-{number}"] for number in range(len(targets)))
    return replace(made, tasks=tuple(tasks))


def _made(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Change a text file."""
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
