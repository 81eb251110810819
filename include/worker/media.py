"""The functions of ``ffmpeg_ops`` that units use, as one value: tests pass another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from include.ffmpeg_ops import encode, ladder, package, probe, quality, runner, timeline, verify

__all__ = ["MediaTools"]


@dataclass(frozen=True)
class MediaTools:
    """Each field is the function of that name in ``include.ffmpeg_ops``."""

    probe: Callable[..., Any] = probe.probe
    cut: Callable[..., Any] = timeline.cut
    load_profile: Callable[..., Any] = ladder.load_profile
    rungs_for: Callable[..., Any] = ladder.rungs_for
    audio_targets: Callable[..., Any] = ladder.audio_targets
    run_chunk: Callable[..., Any] = encode.run_chunk
    run_audio: Callable[..., Any] = encode.run_audio
    verify_chunk: Callable[..., Any] = verify.verify_chunk
    measure: Callable[..., Any] = quality.measure
    package_hls: Callable[..., Any] = package.package_hls
    package_mp4: Callable[..., Any] = package.package_mp4
    verify_package: Callable[..., Any] = verify.verify_package
    tools: Callable[..., Any] = runner.tools
