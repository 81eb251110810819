"""An upscaled video made with ffmpeg's own scaler: what follows the network can be tested without it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.ffmpeg_ops import merge, probe, splice, split
from include.ffmpeg_ops.containers import Container, container_of
from include.ffmpeg_ops.models import FrameIndex, MediaInfo
from include.ffmpeg_ops.segments import Manifest
from include.settings import Settings
from tests.media import ffmpeg


@dataclass
class Job:
    """A source on its way."""

    source: Path
    folder: Path
    settings: Settings
    segment_time: float = 1.5

    def __post_init__(self) -> None:
        found: tuple[MediaInfo, FrameIndex] = probe.probe(self.source, settings=self.settings)
        self.info, self.index = found
        self.container: Container = container_of(self.source.suffix)
        self.out = self.folder / f"out{self.source.suffix}"
        self.kept, self.dropped = merge.keepable(self.source, self.info, self.container, self.folder, settings=self.settings)
        self.manifest: Manifest = split.split(
            self.source, self.info, self.index, self.folder, segment_time=self.segment_time, most=200, settings=self.settings
        )

    def upscaled(self) -> list[Path]:
        """Return the segments' files, twice as large."""
        return [self._upscale(number) for number in range(len(self.manifest.segments))]

    def merged(self, parts: list[Path] | None = None, info: MediaInfo | None = None) -> Path:
        """Return the output; ``info`` may tell something else of the source than is true."""
        video = self.folder / "video.mp4"
        told = info or self.info
        splice.splice(parts or self.upscaled(), self.manifest, video, lead=merge.lead_of(told))
        merge.merge(self.source, told, video, self.out, kept=self.kept, container=self.container, settings=self.settings)
        return self.out

    def _upscale(self, number: int) -> Path:
        base, video = self.manifest.time_base, self.info.video
        segment = self.manifest.segments[number]
        whole = self.manifest.container == "source"
        source, stream = (self.source, video.index) if whole else (self.folder / segment.file, 0)
        out = self.folder / f"large-{number}.mp4"
        pix_fmt = "yuv420p" if video.bit_depth == 8 else "yuv420p10le"
        filters = f"scale=iw*2:ih*2,setsar={video.sar.numerator}/{video.sar.denominator},format={pix_fmt}"
        filters += f",settb={base.numerator}/{base.denominator},setpts=PTS-STARTPTS"
        argv: list[Any] = [ffmpeg(), "-v", "error", "-y", "-noautorotate", "-copyts", "-i", source, "-map", f"0:{stream}"]
        argv += ["-fps_mode", "passthrough", "-vf", filters, "-enc_time_base", f"{base.numerator}:{base.denominator}"]
        if self.container.codec(video.bit_depth) == "vp9":
            argv += ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"]
        else:
            argv += ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "50"]
        argv += ["-video_track_timescale", base.denominator, out]
        subprocess.run([str(argument) for argument in argv], check=True)
        return out
