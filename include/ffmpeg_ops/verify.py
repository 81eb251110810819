"""What finished outputs must be. Every rule reads the files back; none trusts how they were made."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import m3u8

from include.errors import VerificationFailed
from include.ffmpeg_ops import boxes, playlist, rendition, runner
from include.ffmpeg_ops.checks import StreamRules, check_picture, expect
from include.ffmpeg_ops.models import Plan, Rung, TaskRung, VideoTask
from include.ffmpeg_ops.package import Package, audio_groups, is_muxed
from include.ffmpeg_ops.parallel import in_parallel
from include.ffmpeg_ops.rendition import Rendition, Stream
from include.settings import get_settings

__all__ = ["verify_chunk", "verify_package"]


def verify_chunk(task: VideoTask, files: Mapping[str, Path], **run_kwargs: Any) -> None:
    """Check every rung's stream parameters, on which joining the chunks relies; raises :class:`VerificationFailed`.

    Frames, timestamps and keyframes are :mod:`include.ffmpeg_ops.encode`'s to check.
    """
    for rung in task.rungs:
        where = f"rung {rung.name}, chunk {task.chunk.index}"
        argv = ("ffprobe", "-show_streams", "-of", "json", *runner.input_options(), f"file:{files[rung.name]}")
        streams = json.loads(runner.run(runner.Command(argv), **run_kwargs).stdout).get("streams", [])
        if len(streams) != 1:
            raise VerificationFailed(f"{where}: {len(streams)} streams, expected one of video")
        check_picture(where, streams[0], rung, task.stream)
        expect(where, "time base", streams[0].get("time_base"), f"1/{task.timing.timescale}")


def verify_package(
    plan: Plan,
    package: Package,
    out_dir: Path,
    *,
    actual_frames: Sequence[int] | None = None,
    audio: Sequence[Path] = (),
    **run_kwargs: Any,
) -> dict[str, Any]:
    """Check everything of a package; return the facts of its renditions for the report.

    ``actual_frames`` are the frames of each chunk where a damaged source was salvaged and some are known to be missing; then
    frames are counted, but need not be where the plan has them. ``audio`` are the files of :attr:`Plan.audio`. Raises
    :class:`VerificationFailed`, whose message says which rendition is wrong and how. Facts: per rung and audio playlist bytes,
    bit/s, frames, seconds, segments, decoded frames.
    """
    settings = run_kwargs.get("settings") or get_settings()
    _check_files(package, out_dir)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".verify-") as folder:
        scratch = Path(folder)
        rules = StreamRules(plan, actual_frames, settings.verify_decode == "full", scratch, run_kwargs)
        parts = [rendition.open_mp4(f"audio-{number}", path, scratch, **run_kwargs) for number, path in enumerate(audio)]
        check = _Check(plan, rules, scratch, run_kwargs, [part.streams[0] for part in parts])
        if plan.container == "hls":
            return check.hls(package, out_dir)
        return check.file(out_dir / package.entry)


@dataclass(frozen=True)
class _Check:
    plan: Plan
    rules: StreamRules
    scratch: Path
    run_kwargs: Mapping[str, Any]
    parts: Sequence[Stream]

    def file(self, path: Path) -> dict[str, Any]:
        (rung,) = self.plan.rungs
        order = [kind for kind, _, _ in boxes.walk(path)] if self.plan.container == "mp4" else ["moov", "mdat"]
        if "moov" not in order or "mdat" not in order or order.index("moov") > order.index("mdat"):
            raise VerificationFailed(f"{path.name} has its index behind the media: it is not faststart")
        made = rendition.open_mp4(rung.name, path, self.scratch, **self.run_kwargs)
        facts = self.rules.video(rung, made)
        video = made.of_kind("video")[0]
        audio = made.of_kind("audio")
        expect(f"rung {rung.name}", "audio streams", len(audio), len(self.plan.audio))
        heard = [
            self.rules.audio(rung.name, target, stream, video, self._part(number))
            for number, (target, stream) in enumerate(zip(self.plan.audio, audio, strict=True))
        ]
        if audio:
            rendition.decode(made, "audio", **self.run_kwargs)
        return {
            "renditions": {rung.name: facts},
            "audio": {f"audio-{number}": item for number, item in enumerate(heard)},
            "size": made.size,
            "files": 1,
        }

    def hls(self, package: Package, out_dir: Path) -> dict[str, Any]:
        name = package.entry.removesuffix(".m3u8")
        master = m3u8.loads((out_dir / package.entry).read_text(encoding="utf-8"))
        groups = audio_groups(self.plan)
        folders = [rung.name for rung in self.plan.rungs] + [group.folder for group in groups]
        listed = [playlist.uri_path(item.uri) for item in [*master.playlists, *master.media] if item.uri]
        expect("the master playlist", "renditions", listed, [f"{folder}/{name}.m3u8" for folder in folders])

        rungs = {rung.name: rung for rung in self.plan.rungs}
        heard = {group.folder for group in groups} or ({self.plan.rungs[0].name} if is_muxed(self.plan) else set())

        def check(folder: str) -> tuple[Rendition, dict[str, Any]]:
            made, facts = self._playlist(folder, rungs.get(folder), out_dir / folder / f"{name}.m3u8")
            if folder in heard and made.of_kind("audio"):
                rendition.decode(made, "audio", **self.run_kwargs)
            return made, facts

        checked = in_parallel(check, folders)
        made = [item for item, _ in checked]
        self._check_listing(made, package, out_dir)
        videos, sounds = checked[: len(self.plan.rungs)], checked[len(self.plan.rungs) :]
        first = videos[0][0].of_kind("video")[0]
        for rung, (item, _) in zip(self.plan.rungs, videos, strict=True):
            video = item.of_kind("video")[0]
            if (video.frames(), video.keyframes(video.frames())) != (first.frames(), first.keyframes(first.frames())):
                raise VerificationFailed(f"rung {rung.name} has other frame times or keyframes than {self.plan.rungs[0].name}")
            audio = item.of_kind("audio")
            expect(f"rung {rung.name}", "audio streams", len(audio), int(is_muxed(self.plan)))
            for stream in audio:
                self.rules.audio(rung.name, self.plan.audio[0], stream, video, self._part(0))
        audio_facts = {}
        for number, (group, (item, facts)) in enumerate(zip(groups, sounds, strict=True)):
            expect(f"{group.folder}", "streams", [stream.kind for stream in item.streams], ["audio"])
            audio_facts[group.folder] = facts | self.rules.audio(
                group.folder, group.target, item.streams[0], first, self._part(number)
            )
        self._check_master(master, made)
        return {
            "renditions": {rung.name: facts for rung, (_, facts) in zip(self.plan.rungs, videos, strict=True)},
            "audio": audio_facts,
            "size": sum((out_dir / file).stat().st_size for file in package.files),
            "files": len(package.files),
        }

    def _part(self, number: int) -> Stream | None:
        return self.parts[number] if self.parts else None

    def _playlist(self, name: str, rung: Rung | TaskRung | None, path: Path) -> tuple[Rendition, dict[str, Any]]:
        made = rendition.open_hls(name, path, self.scratch, **self.run_kwargs)
        assert made.playlist is not None  # noqa: S101 - open_hls sets it
        text = made.playlist
        if not text.independent:
            raise VerificationFailed(f"rung {name}: the playlist does not say that its segments are independent")
        if any(round(segment.duration) > text.target_duration for segment in text.segments):
            raise VerificationFailed(f"rung {name}: a segment is longer than the target duration of {text.target_duration} s")
        rates = playlist.bit_rates(text.segments, text.target_duration)
        facts: dict[str, Any] = self.rules.video(rung, made) if rung else {"size": made.size}
        return made, facts | {
            "bit_rate": rates.average,
            "peak_bit_rate": rates.peak,
            "segments": len(text.segments),
        }

    def _check_listing(self, made: Sequence[Rendition], package: Package, out_dir: Path) -> None:
        name = package.entry.removesuffix(".m3u8")
        listed = set(package.files)
        used = {package.entry}
        for item in made:
            assert item.playlist is not None  # noqa: S101 - of HLS only
            starts = [item.playlist.initialization] if item.playlist.initialization else []
            paths = [*starts, *(segment.path for segment in item.playlist.segments), f"{name}.m3u8"]
            used |= {f"{item.name}/{path}" for path in paths}
        if missing := sorted(used - listed):
            raise VerificationFailed(f"the package does not list {missing[0]}, which a playlist names")
        unused = sorted(file for file in listed - used if "/" in file)
        if unused:
            raise VerificationFailed(f"the package lists {unused[0]}, which no playlist names")

    def _check_master(self, master: Any, made: Sequence[Rendition]) -> None:
        rates = {
            item.name: playlist.bit_rates(item.playlist.segments, item.playlist.target_duration) for item in made if item.playlist
        }
        rungs = {rung.name for rung in self.plan.rungs}
        audio = max((rate.peak for name, rate in rates.items() if name not in rungs), default=0)
        for rung, variant in zip(self.plan.rungs, master.playlists, strict=True):
            where = f"the master playlist's rung {rung.name}"
            information = variant.stream_info
            expect(where, "RESOLUTION", tuple(information.resolution or ()), (rung.width, rung.height))
            expect(where, "BANDWIDTH", information.bandwidth, rates[rung.name].peak + audio)
            codecs = (information.codecs or "").split(",")
            expect(where, "audio in CODECS", bool(codecs[1:]), bool(self.plan.audio))
            sort, name = ("hvc1.", "H.265") if rung.codec == "hevc" else ("avc1.", "H.264")
            if not codecs[0].startswith(sort):
                raise VerificationFailed(f"{where} names no {name} codec")


def _check_files(package: Package, out_dir: Path) -> None:
    for file in package.files:
        path = out_dir / file
        if not path.is_file() or path.stat().st_size == 0:
            raise VerificationFailed(f"{file} is missing or empty")
    if len(set(package.files)) != len(package.files) or package.files[-1] != package.entry:
        raise VerificationFailed(f"{package.entry} is not the package's last file, or a file is listed twice")
