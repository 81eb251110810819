"""Upscales a whole file without Airflow: probe → upscale → put into the place of the source's video → verify."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from include.errors import OutputNotSupported, VerificationFailed
from include.ffmpeg_ops.containers import container_of
from include.ffmpeg_ops.fidelity import verify_fidelity
from include.ffmpeg_ops.merge import keepable, lead_of, merge
from include.ffmpeg_ops.models import FrameIndex, MediaInfo
from include.ffmpeg_ops.probe import probe
from include.ffmpeg_ops.segments import Manifest, unsplit
from include.ffmpeg_ops.splice import splice
from include.media_store.scratch import folder_beside
from include.settings import Settings, get_settings
from include.sr_model.models import Upscaled, UpscaleTask
from include.sr_model.upscale import upscale

__all__ = ["task_for", "upscale_file"]


def task_for(info: MediaInfo, index: FrameIndex, **choices: Any) -> UpscaleTask:
    """Return the task that upscales the whole of a source; ``choices`` are fields of it (scale, model, crf, preset, codec)."""
    return _task(info, unsplit(index), choices)


def _task(info: MediaInfo, manifest: Manifest, choices: dict[str, Any]) -> UpscaleTask:
    (segment,) = manifest.segments
    fields = manifest.timing(segment) | choices
    return UpscaleTask(stream=info.video, frames=segment.frames, frame_rate=info.video.frame_rate, **fields)


def upscale_file(
    source: Path,
    out: Path,
    *,
    backend: str | None = None,
    variant: str = "video",
    on_progress: Callable[[int, int, float | None], None] | None = None,
    cancelled: threading.Event | None = None,
    settings: Settings | None = None,
    **choices: Any,
) -> Upscaled:
    """Upscale the video of ``source`` into ``out``, whose name has the source's suffix or another that can hold all.

    Audio, subtitles, chapters, metadata and rotation are copied. ``on_progress`` is told frames, of how many, and
    frames a second.
    Raises :class:`OutputNotSupported` where another kind of file than the source's cannot hold all as it is, and what probing,
    :func:`include.sr_model.upscale.upscale`, merging and verification raise.
    """
    settings = settings or get_settings()
    container = container_of(out.suffix)
    info, index = probe(source, settings=settings, damage_policy="strict", copies_audio=True)
    manifest = unsplit(index)
    task = _task(info, manifest, {"codec": container.codec(info.video.bit_depth)} | choices)
    run_kwargs: dict[str, Any] = {"cancelled": cancelled, "settings": settings}
    with folder_beside(out) as scratch:
        kept, _ = keepable(source, info, container, scratch, **run_kwargs)
        made = upscale(
            source,
            task,
            scratch / "video.mp4",
            backend=backend,
            variant=variant,
            on_progress=None if on_progress is None else lambda frames, fps: on_progress(frames, task.frames, fps),
            **run_kwargs,
        )
        splice([scratch / "video.mp4"], manifest, scratch / "whole.mp4", lead=lead_of(info), cancelled=cancelled)
        merged = scratch / f"merged{out.suffix}"
        merge(source, info, scratch / "whole.mp4", merged, kept=kept, container=container, **run_kwargs)
        try:
            verify_fidelity(
                source, info, manifest, merged, scale=task.scale, kept=kept, container=container, scratch=scratch, **run_kwargs
            )
        except VerificationFailed as error:
            if out.suffix.lower() == source.suffix.lower():
                raise
            # Sound that begins before zero, for example, or with samples that are not heard: not every container tells of it.
            raise OutputNotSupported(
                f"A file *{out.suffix} cannot hold all of this source as it is; name the output *{source.suffix}. {error.message}"
            ) from error
        merged.replace(out)
    return made
