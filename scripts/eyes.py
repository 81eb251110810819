"""The demonstration's own eyes on what was published: ffprobe, ffmpeg and the m3u8 library, none of Reelflow's checks."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import m3u8

from scripts.clips import read_frame_numbers

__all__ = ["Facts", "Failed", "check_hls", "check_rendition", "check_upscaled", "expect", "facts_of", "say"]


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


@dataclass(frozen=True)
class Facts:
    """What ffprobe says of one file or playlist."""

    frames: int
    duration: Fraction
    width: int
    height: int
    keyframes: tuple[float, ...]
    audio_tracks: int
    audio_seconds: float
    times: tuple[float, ...]


def facts_of(media: str) -> Facts:
    """Read the packets of the first video stream, and whether there is audio, with ffprobe."""

    def ffprobe(*arguments: str) -> dict:
        command = ["ffprobe", "-v", "error", "-of", "json", *arguments, media]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    streams = ffprobe("-show_streams")["streams"]
    videos = [s for s in streams if s["codec_type"] == "video" and not s.get("disposition", {}).get("attached_pic")]
    video = videos[0]
    packets = ffprobe("-select_streams", str(video["index"]), "-show_entries", "packet=pts,duration,flags")["packets"]
    shown = [packet for packet in packets if "pts" in packet and "D" not in packet["flags"]]
    base = Fraction(video["time_base"])
    start = min(packet["pts"] for packet in shown)
    times = sorted((packet["pts"] - start) * base for packet in shown)
    step = times[-1] - times[-2] if len(times) > 1 else Fraction(0)
    audio = [s for s in streams if s["codec_type"] == "audio"]
    audio_seconds = 0.0
    if audio:
        samples = ffprobe("-select_streams", str(audio[0]["index"]), "-show_entries", "packet=pts_time,duration_time")["packets"]
        ends = [float(p["pts_time"]) + float(p.get("duration_time", 0)) for p in samples]
        audio_seconds = max(ends) - max(0.0, min(float(p["pts_time"]) for p in samples))
    return Facts(
        frames=len(shown),
        duration=times[-1] + step,
        width=video["width"],
        height=video["height"],
        keyframes=tuple(float((p["pts"] - start) * base) for p in shown if "K" in p["flags"]),
        audio_tracks=len(audio),
        audio_seconds=audio_seconds,
        times=tuple(map(float, times)),
    )


class Failed(Exception):
    """Something that was published is not right."""


def expect(condition: bool, message: str) -> None:
    """Raise :class:`Failed` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise Failed(message)


def check_rendition(name: str, media: Path, source: Facts, numbered: bool) -> Facts:
    """Compare one rendition with the source: frames, their times, picture size, audio, and each frame's own number."""
    facts = facts_of(str(media))
    expect(facts.frames == source.frames, f"{name} has {facts.frames} frames, the source {source.frames}")
    # 90 kHz and rational grids round differently, and sources such as Matroska round to milliseconds themselves.
    drift = max(abs(a - b) for a, b in zip(facts.times, source.times, strict=True))
    expect(drift < 0.002, f"{name}: a frame is shown {drift * 1000:.1f} ms away from its time")
    expect(facts.width <= source.width or facts.height <= source.height, f"{name} was upscaled")
    expect((facts.audio_tracks > 0) == (source.audio_tracks > 0), f"{name}: audio is missing, or came from nowhere")
    if source.audio_tracks:
        skew = abs(facts.audio_seconds - source.audio_seconds)
        expect(skew < 0.1, f"{name}: audio is {facts.audio_seconds:.3f} s long, the source's {source.audio_seconds:.3f} s")
    _check_pictures(name, media, source, numbered)
    size = f"{facts.width}x{facts.height}"
    say(f"      {name:<10} {size:<9}  {facts.frames} frames, each once and in order; audio tracks: {facts.audio_tracks}")
    return facts


def check_upscaled(media: Path, clip: Path, source: Facts, scale: int, numbered: bool) -> None:
    """Compare an upscaled video with its source: every frame at its very time, the picture's size, the same bits of sound."""
    facts = facts_of(str(media))
    expect(facts.frames == source.frames, f"{media.name} has {facts.frames} frames, the source {source.frames}")
    expect(facts.times == source.times, f"{media.name} shows frames at other times than the source")
    size = (source.width * scale, source.height * scale)
    expect((facts.width, facts.height) == size, f"{media.name} is {facts.width}x{facts.height}, not {size[0]}x{size[1]}")
    same = facts.audio_tracks == source.audio_tracks and (not source.audio_tracks or _sound(media) == _sound(clip))
    expect(same, f"{media.name} has other sound than the source")
    _check_pictures(media.name, media, source, numbered)
    say(
        f"      {media.name:<10} {size[0]}x{size[1]}  {facts.frames} frames, each once and on time; sound bit by bit the source's"
    )


def _sound(media: Path) -> str:
    """Return the hashes of all audio streams' packets."""
    hashes = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(media), "-map", "0:a", "-c", "copy", "-f", "streamhash", "-"]
    return subprocess.run(hashes, check=True, stdout=subprocess.PIPE, text=True).stdout


def _check_pictures(name: str, media: Path, source: Facts, numbered: bool) -> None:
    if numbered:
        shown = read_frame_numbers(str(media))
        wrong = next((n for n, number in enumerate(shown) if n != number), None)
        expect(wrong is None and len(shown) == source.frames, f"{name}: frame {wrong} is not in its place")
    else:
        decode = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", str(media), "-f", "null", "-"]
        expect(subprocess.run(decode, check=False).returncode == 0, f"{name} does not decode cleanly")


def check_hls(master_path: Path, source: Facts, numbered: bool) -> None:
    """Check the master playlist, every rendition, that keyframes align over the ladder, and the thumbnails."""
    master = m3u8.load(str(master_path))
    expect(master.is_variant and bool(master.playlists), "the master playlist lists nothing")
    grids = set()
    for variant in master.playlists:
        info = variant.stream_info
        expect(
            bool(info.bandwidth and info.average_bandwidth and info.codecs and info.frame_rate), f"{variant.uri}: tags missing"
        )
        playlist = master_path.parent / variant.uri
        facts = check_rendition(playlist.parent.name, playlist, source, numbered)
        expect(info.resolution == (facts.width, facts.height), f"{variant.uri}: RESOLUTION is wrong")
        segments = m3u8.load(str(playlist)).segments
        expect(all(segment.duration < 6.6 for segment in segments) or not numbered, f"{variant.uri}: a segment is too long")
        grids.add(tuple(round(time, 3) for time in facts.keyframes))
    expect(len(grids) == 1, "the keyframes of the renditions do not align")
    expect((master_path.parent / "00001.jpg").stat().st_size > 0, "no thumbnail")
