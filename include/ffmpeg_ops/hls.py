"""Writes the renditions of an HLS package: a folder of segments with its media playlist each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from include.ffmpeg_ops import fragments, join, playlist, rendition
from include.ffmpeg_ops.models import AudioTarget, Plan, Rung, TaskRung
from include.ffmpeg_ops.playlist import BitRates, Segment
from include.ffmpeg_ops.timetable import Timetable, segment_starts

__all__ = ["HlsWriter", "WrittenRendition"]

# ffmpeg does not know a transport stream of fewer bytes for one.
LEAST_TS_BYTES = 16 * 188
NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * 184


@dataclass(frozen=True)
class WrittenRendition:
    """A media playlist and its files, relative to the package, the playlist last."""

    files: tuple[str, ...]
    rates: BitRates


@dataclass(frozen=True)
class HlsWriter:
    """Writes renditions into ``out_dir``; ffmpeg works in ``scratch``, under names that need no escapes in its patterns."""

    plan: Plan
    name: str
    out_dir: Path
    scratch: Path
    run_kwargs: Mapping[str, Any]

    def video(self, rung: Rung | TaskRung, parts: Sequence[Path], audio: Sequence[Path]) -> WrittenRendition:
        """Write a rung, with the audio stream inside if there is one."""
        folder = self._folder(rung.name)
        argv = [*join.video_input(self.plan, parts, folder)]
        for target, path in zip(self.plan.audio, audio, strict=bool(audio)):
            argv += join.audio_input(self.plan, target, path)
        argv += ["-map", "0:v:0", *(["-map", "1:a:0"] if audio else [])]
        if self.plan.segment_type == "fmp4":
            self._fragment(rung.name, [*argv, *join.tag(rung.codec)], folder)
        else:
            self._segment(rung.name, argv, folder)
        return self._publish(rung.name, folder)

    def audio(self, name: str, target: AudioTarget, path: Path) -> WrittenRendition:
        """Write an audio stream's own playlist."""
        folder = self._folder(name)
        self._segment(name, [*join.audio_input(self.plan, target, path), "-map", "0:a:0"], folder)
        return self._publish(name, folder)

    def _folder(self, name: str) -> Path:
        path = self.scratch / name
        path.mkdir()
        return path

    def _segment(self, name: str, argv: Sequence[str], folder: Path) -> None:
        """Let ffmpeg's HLS muxer write segments and playlist."""
        options = ["-f", "hls", "-hls_time", str(self.plan.segment_seconds), "-hls_list_size", "0"]
        options += ["-hls_playlist_type", "vod", "-hls_flags", "independent_segments"]
        suffix = "ts"
        if self.plan.segment_type == "fmp4":
            suffix = "m4s"
            options += ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "_init.mp4"]
            options += ["-hls_segment_options", "movflags=+frag_discont"]
        options += ["-hls_segment_filename", f"{folder}/%05d.{suffix}", f"{folder}/index.m3u8"]
        self._run(name, argv, options)

    def _fragment(self, name: str, argv: Sequence[str], folder: Path) -> None:
        """Write one fragment per GOP and make the segments of them.

        ffmpeg's HLS muxer ends a segment before it has seen the next one's first frame, and so gives that frame a wrong time
        where the frame rate varies.
        """
        whole = folder / "whole.mp4"
        # frag_discont puts the start into the fragments' decode times, since players ignore long edit lists.
        self._run(
            name, argv, ["-f", "mp4", "-movflags", "+frag_keyframe+delay_moov+default_base_moof+frag_discont", f"file:{whole}"]
        )
        made = rendition.open_mp4(name, whole, folder, **self.run_kwargs)
        (video,) = made.of_kind("video")
        frames = video.frames()
        keyframes = video.keyframes(frames)
        starts = segment_starts(frames, keyframes, round(self.plan.segment_seconds / video.time_base))
        edges = [(frames[start] - frames[0]) * video.time_base for start in starts]
        ends = [*edges[1:], max(Timetable(self.plan).seconds, (frames[-1] - frames[0]) * video.time_base)]
        paths = [folder / f"{number:05d}.m4s" for number in range(len(starts))]
        fragments.split(whole, [keyframes.index(start) for start in starts], folder / "_init.mp4", paths)
        whole.unlink()
        segments = [Segment(path.name, round(float(end - start), 6)) for path, start, end in zip(paths, edges, ends, strict=True)]
        (folder / "index.m3u8").write_text(playlist.media_playlist(segments, "_init.mp4"), encoding="utf-8")

    def _run(self, name: str, argv: Sequence[str], options: Sequence[str]) -> None:
        # One fixed shift in every rendition instead of ffmpeg's own, which depends on the streams that are there: so audio and
        # video playlists share one timeline, and no DTS is negative.
        offset = join.seconds(join.shift(self.plan) + _head_room(self.plan))
        command = ("ffmpeg", *argv, *join.CLEAN, "-avoid_negative_ts", "disabled", "-output_ts_offset", offset, *options)
        rendition.run_on_ours(name, command, self.run_kwargs)

    def _publish(self, rendition_name: str, folder: Path) -> WrittenRendition:
        final = self.out_dir / rendition_name
        final.mkdir(exist_ok=True)
        text = playlist.rename_segments((folder / "index.m3u8").read_text(encoding="utf-8"), lambda old: f"{self.name}{old}")
        for path in folder.iterdir():
            if path.suffix == ".ts":
                _pad(path)
            if path.suffix in (".ts", ".m4s", ".mp4"):
                path.replace(final / f"{self.name}{path.name}")
        (final / f"{self.name}.m3u8").write_text(text, encoding="utf-8")
        made = playlist.read_media_playlist(text, lambda path: (final / path).stat().st_size)
        starts = (made.initialization,) if made.initialization else ()
        files = (*starts, *(segment.path for segment in made.segments), f"{self.name}.m3u8")
        rates = playlist.bit_rates(made.segments, made.target_duration)
        return WrittenRendition(tuple(f"{rendition_name}/{file}" for file in files), rates)


def _head_room(plan: Plan) -> int:
    # Ten seconds, as segmenters customarily have it, and whatever B-frames put the first DTS of a slow stream before its PTS.
    timing = plan.timing
    delays = [chunk.pts[:5][-1] * timing.time_base for chunk in plan.chunks if chunk.pts]
    return 10 + math.floor(max(delays, default=Fraction(4) / timing.frame_rate))


def _pad(path: Path) -> None:
    missing = LEAST_TS_BYTES - path.stat().st_size
    if missing > 0:
        with path.open("ab") as file:
            file.write(NULL_PACKET * math.ceil(missing / len(NULL_PACKET)))
