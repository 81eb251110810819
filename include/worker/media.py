"""The functions of ``ffmpeg_ops`` and ``sr_model`` that units use, as one value: tests pass another."""

# ruff: noqa: RUF009 - a partial as a default is as good as the function

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["MediaTools"]


def _call(module: str, name: str, *args: Any, **kwargs: Any) -> Any:
    # Imported when it is called: a unit needs few of these modules, and starts the sooner for it.
    return getattr(import_module(f"include.ffmpeg_ops.{module}"), name)(*args, **kwargs)


def _net(module: str, name: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(import_module(f"include.net.{module}"), name)(*args, **kwargs)


def _count_frames(name: str, path: Path, scratch: Path, **run_kwargs: Any) -> int:
    (video,) = _call("rendition", "open_mp4", name, path, scratch, **run_kwargs).of_kind("video")
    return len(video.pts)


def _upscale(*args: Any, **kwargs: Any) -> Any:
    return import_module("include.sr_model.upscale").upscale(*args, **kwargs)


@dataclass(frozen=True)
class MediaTools:
    """Each field is the function of that name in ``ffmpeg_ops``, ``sr_model`` or ``net``, or made of one."""

    probe: Callable[..., Any] = partial(_call, "probe", "probe")
    cut: Callable[..., Any] = partial(_call, "timeline", "cut")
    load_profile: Callable[..., Any] = partial(_call, "ladder", "load_profile")
    rungs_for: Callable[..., Any] = partial(_call, "ladder", "rungs_for")
    audio_targets: Callable[..., Any] = partial(_call, "ladder", "audio_targets")
    encoders: Callable[..., Any] = partial(_call, "tools", "encoders")
    check_profile: Callable[..., None] = partial(_call, "compatibility", "check_profile")
    check_targets: Callable[..., None] = partial(_call, "compatibility", "check_targets")
    container_of: Callable[..., str] = partial(_call, "compatibility", "container_of")
    task_rungs: Callable[..., Any] = partial(_call, "outputs", "task_rungs")
    task_sounds: Callable[..., Any] = partial(_call, "outputs", "task_sounds")
    task_timeline: Callable[..., Any] = partial(_call, "retiming", "task_timeline")
    run_chunk: Callable[..., Any] = partial(_call, "encode", "run_chunk")
    run_audio: Callable[..., Any] = partial(_call, "encode", "run_audio")
    verify_chunk: Callable[..., Any] = partial(_call, "verify", "verify_chunk")
    count_frames: Callable[..., int] = _count_frames
    measure: Callable[..., Any] = partial(_call, "quality", "measure")
    package_hls: Callable[..., Any] = partial(_call, "package", "package_hls")
    package_file: Callable[..., Any] = partial(_call, "package", "package_file")
    verify_package: Callable[..., Any] = partial(_call, "verify", "verify_package")
    tools: Callable[..., Any] = partial(_call, "runner", "tools")
    keepable: Callable[..., Any] = partial(_call, "merge", "keepable")
    split: Callable[..., Any] = partial(_call, "split", "split")
    upscale: Callable[..., Any] = _upscale
    splice: Callable[..., Any] = partial(_call, "splice", "splice")
    lead_of: Callable[..., int] = partial(_call, "merge", "lead_of")
    merge: Callable[..., Any] = partial(_call, "merge", "merge")
    compare: Callable[..., Any] = partial(_call, "comparison", "compare")
    verify_fidelity: Callable[..., Any] = partial(_call, "fidelity", "verify_fidelity")
    guarded_source: Callable[..., Any] = partial(_net, "relay", "guarded_source")
    guarded_target: Callable[..., Any] = partial(_net, "relay", "guarded_target")
    download: Callable[..., Any] = partial(_net, "http", "download")
