"""The functions of ``ffmpeg_ops`` that units use, as one value: tests pass another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.ffmpeg_ops import encode, ladder, package, probe, quality, rendition, runner, timeline, verify

__all__ = ["MediaTools"]


def _count_frames(name: str, path: Path, scratch: Path, **run_kwargs: Any) -> int:
    (video,) = rendition.open_mp4(name, path, scratch, **run_kwargs).of_kind("video")
    return len(video.pts)


@dataclass(frozen=True)
class MediaTools:
    """Each field is the function of that name in ``include.ffmpeg_ops``, or made of one."""

    probe: Callable[..., Any] = probe.probe
    cut: Callable[..., Any] = timeline.cut
    load_profile: Callable[..., Any] = ladder.load_profile
    rungs_for: Callable[..., Any] = ladder.rungs_for
    audio_targets: Callable[..., Any] = ladder.audio_targets
    run_chunk: Callable[..., Any] = encode.run_chunk
    run_audio: Callable[..., Any] = encode.run_audio
    verify_chunk: Callable[..., Any] = verify.verify_chunk
    count_frames: Callable[..., int] = _count_frames
    measure: Callable[..., Any] = quality.measure
    package_hls: Callable[..., Any] = package.package_hls
    package_mp4: Callable[..., Any] = package.package_mp4
    verify_package: Callable[..., Any] = verify.verify_package
    tools: Callable[..., Any] = runner.tools
