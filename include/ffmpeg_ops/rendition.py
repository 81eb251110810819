"""What a finished rendition holds, read back from its files: streams, packets, segments; and what its decoder says."""

from __future__ import annotations

import json
import tempfile
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from include.errors import InputError, VerificationFailed
from include.ffmpeg_ops import playlist, runner
from include.ffmpeg_ops.playlist import MediaPlaylist
from include.ffmpeg_ops.runner import Command

__all__ = ["Rendition", "Stream", "decode", "decode_sample", "open_hls", "open_mp4", "run_on_ours"]


@dataclass
class Stream:
    """A stream's packets in file order; times are integers in ``time_base``, positions are bytes from the rendition's start.

    A position of -1 is that of an audio frame which shares a PES packet of a transport stream with the one before: its time is
    not in the file, ffmpeg has computed it.
    """

    information: Mapping[str, Any]
    time_base: Fraction
    pts: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    size: int = 0
    last_duration: int = 0

    @property
    def kind(self) -> str:
        """``video`` or ``audio``."""
        return str(self.information.get("codec_type"))

    def frames(self) -> list[int]:
        """Return all PTS in presentation order."""
        return sorted(self.pts)

    def keyframes(self, frames: Sequence[int]) -> tuple[int, ...]:
        """Return the numbers, among ``frames`` (see :meth:`frames`), of those that are keyframes."""
        return tuple(bisect_left(frames, self.pts[index]) for index in self.keys)


@dataclass(frozen=True)
class Rendition:
    """A rendition as ffprobe sees it; ``input`` are the options with which our ffmpeg opens it."""

    name: str
    input: tuple[str, ...]
    streams: tuple[Stream, ...]
    complaints: tuple[str, ...]
    playlist: MediaPlaylist | None
    initialization_size: int
    size: int

    def of_kind(self, kind: str) -> tuple[Stream, ...]:
        """Return the streams of a kind."""
        return tuple(stream for stream in self.streams if stream.kind == kind)


def open_mp4(name: str, path: Path, scratch: Path, **run_kwargs: Any) -> Rendition:
    """Read an MP4's streams and packets; raises :class:`VerificationFailed` where it cannot be read."""
    options = (*runner.input_options(), "-i", f"file:{path.resolve()}")
    streams, complaints = _read(name, options, scratch, run_kwargs)
    return Rendition(name, options, streams, complaints, None, 0, path.stat().st_size)


def open_hls(name: str, path: Path, scratch: Path, **run_kwargs: Any) -> Rendition:
    """Read the streams and packets of all segments of a media playlist, as a player would."""
    text = path.read_text(encoding="utf-8")
    made = playlist.read_media_playlist(text, lambda file: _size(name, path.parent / file))
    if not made.segments:
        raise VerificationFailed(f"rung {name} has an empty playlist")
    if not made.ended:
        # Of a live one, ffmpeg waits for more.
        raise VerificationFailed(f"rung {name}: the playlist is not a finished one")
    # ffmpeg does not decode the URLs of a local playlist, so it gets links with names that need none.
    folder = Path(tempfile.mkdtemp(dir=scratch))
    files = [*([made.initialization] if made.initialization else []), *(segment.path for segment in made.segments)]
    links = {file: f"{number:05d}{Path(file).suffix}" for number, file in enumerate(files)}
    for file, link in links.items():
        (folder / link).symlink_to((path.parent / file).resolve())
    renamed = playlist.rename_segments(text, lambda file: links[playlist.uri_path(file)])
    (folder / "index.m3u8").write_text(renamed, encoding="utf-8")
    options = (*runner.input_options("hls"), "-i", f"{folder / 'index.m3u8'}")
    streams, complaints = _read(name, options, scratch, run_kwargs)
    start = _size(name, path.parent / made.initialization) if made.initialization else 0
    size = start + sum(segment.size for segment in made.segments)
    return Rendition(name, options, streams, complaints, made, start, size)


def decode(rendition: Rendition, kind: str, **run_kwargs: Any) -> int:
    """Decode all of a rendition's streams of a kind; return the frames of the first, for video.

    Raises :class:`VerificationFailed` with what the decoder complains of.
    """
    return _decode(rendition.name, (*rendition.input, "-map", f"0:{kind[0]}"), run_kwargs)


def decode_sample(rendition: Rendition, ranges: Sequence[tuple[int, int]], scratch: Path, **run_kwargs: Any) -> int:
    """Decode all keyframes and, whole, the packets ``first <= n < end`` of the video; return the number of frames.

    The ranges must be whole closed GOPs.
    """
    sample = Path(tempfile.mkdtemp(dir=scratch)) / "sample.ts"
    wanted = ["key", *(f"between(n,{first},{end - 1})" for first, end in ranges)]
    argv = ["ffmpeg", *rendition.input, "-map", "0:v:0", "-c", "copy", "-bsf:v", f"noise=drop='not({_sum(wanted)})'"]
    run_on_ours(rendition.name, [*argv, "-f", "mpegts", f"file:{sample}"], run_kwargs)
    frames = _decode(
        rendition.name, (*runner.input_options(), "-f", "mpegts", "-i", f"file:{sample}", "-map", "0:v:0"), run_kwargs
    )
    sample.unlink()
    return frames


def _sum(terms: Sequence[str]) -> str:
    # As a balanced tree: ffmpeg's expressions nest at most some hundred levels deep, and a plain sum is a level per term.
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return f"({_sum(terms[:half])}+{_sum(terms[half:])})"


def _decode(name: str, options: Sequence[str], run_kwargs: Mapping[str, Any]) -> int:
    # Without -copyts, ffmpeg reports frames that are shown for more than ten seconds as a discontinuity. Nobody sees these
    # pictures: without their deblocking, which reads no bit of the stream, they cost three quarters.
    argv = ["ffmpeg", "-copyts", "-skip_loop_filter", "all", *options, "-fps_mode", "passthrough", "-f", "null", "null"]
    completed = run_on_ours(name, argv, run_kwargs)
    if completed.damage:
        raise VerificationFailed(f"rung {name} cannot be decoded without errors: {completed.damage[0]}")
    return completed.frames or 0


def run_on_ours(name: str, argv: Sequence[str], run_kwargs: Mapping[str, Any]) -> runner.Completed:
    """Run a command that reads files of our own: what the runner takes for a damaged source is then a damaged output."""
    try:
        return runner.run(Command(tuple(argv)), **run_kwargs)
    except InputError as error:
        raise VerificationFailed(f"rung {name} cannot be read back: {error.message}") from error


def _read(
    name: str, options: Sequence[str], scratch: Path, run_kwargs: Mapping[str, Any]
) -> tuple[tuple[Stream, ...], tuple[str, ...]]:
    completed = run_on_ours(name, ["ffprobe", *runner.ANALYSIS, "-show_streams", "-of", "json", *options], run_kwargs)
    described = sorted(json.loads(completed.stdout or "{}").get("streams", ()), key=lambda item: int(item["index"]))
    streams = tuple(Stream(item, Fraction(item["time_base"])) for item in described)
    # To a file, since the packets of a long film are hundreds of megabytes of text.
    listing = Path(tempfile.mkdtemp(dir=scratch)) / "packets.csv"
    entries = "packet=stream_index,pts,duration,size,pos,flags"
    completed = run_on_ours(name, ["ffprobe", "-show_entries", entries, "-of", "csv", "-o", str(listing), *options], run_kwargs)
    with listing.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(",")
            if fields[0] == "packet" and len(fields) >= 7:
                _add(name, streams[int(fields[1])], fields)
    listing.unlink()
    return streams, completed.damage


def _add(name: str, stream: Stream, fields: Sequence[str]) -> None:
    _, _, pts, duration, size, position, flags = fields[:7]
    if not pts.lstrip("-").isdigit():
        raise VerificationFailed(f"rung {name} has a {stream.kind} packet without a timestamp")
    if "K" in flags:
        stream.keys.append(len(stream.pts))
    stream.pts.append(int(pts))
    stream.positions.append(int(position) if position.isdigit() else -1)
    stream.size += int(size)
    stream.last_duration = int(duration) if duration.isdigit() else 0


def _size(name: str, path: Path) -> int:
    if not path.is_file() or path.stat().st_size == 0:
        raise VerificationFailed(f"rung {name}: {path.name} is missing or empty")
    return path.stat().st_size
