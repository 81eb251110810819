"""Looks at a source: one ffprobe pass for its streams, one for its packets, and more only where packets do not tell.

Everything that decides is in :mod:`streams`, :mod:`packets`, :mod:`rate` and :mod:`damage`; the passes over the
file are in :mod:`ffprobe`; this module joins them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from include.errors import InputNotSupported, InvalidInputData, LimitExceeded
from include.ffmpeg_ops import damage, packets, rate, streams, tools
from include.ffmpeg_ops.ffprobe import Source
from include.ffmpeg_ops.models import AudioStream, DroppedStream, FrameIndex, MediaInfo, VideoStream
from include.ffmpeg_ops.packets import StreamPackets
from include.settings import Settings

__all__ = ["frame_index", "probe"]

Document = Mapping[str, Any]

SEEKABLE = ("mov", "matroska", "mpegts", "flv")


def probe(
    path: Path, *, settings: Settings, damage_policy: Literal["strict", "salvage"] = "strict", copies_audio: bool = False
) -> tuple[MediaInfo, FrameIndex]:
    """Return what ``path`` holds and every frame of its main video stream.

    Raises :class:`InputNotSupported` for what is no media, or of a kind that we do not read, or that this ffmpeg cannot decode
    (of the audio that only where it is not just copied); :class:`InvalidInputData` for media without video and, under
    ``strict``, for damage; :class:`LimitExceeded` beyond the settings' limits. Under ``salvage`` the findings of damage are in
    :attr:`MediaInfo.damage`.
    """
    source = Source(path, settings)
    document = source.document()
    _check_limits(document, settings)
    chosen = streams.select(
        document["streams"],
        lambda audio: None if copies_audio else _undecodable(audio, settings),
        document.get("programs", ()),
    )
    if why := _undecodable(chosen.video, settings):
        raise InputNotSupported(f"The source's video (stream {chosen.video['index']}) cannot be read: {why}.")
    table = source.packets()
    found = damage.findings(document, table, source.said) + damage.cut_off(source.head, source.tail, source.size)
    if found and damage_policy == "strict":
        raise InvalidInputData(f"The source is damaged. {' '.join(found[:3])}")
    video, index = _video(source, chosen.video, table)
    audio, dropped = _audio(source, chosen.audio, table)
    duration = _duration(video, audio)
    if duration > settings.max_source_seconds:
        raise _too_long(duration, settings)
    info = MediaInfo(
        format=document["format"]["format_name"],
        size=source.size,
        duration=duration,
        bit_rate=round(source.size * 8 / duration),
        video=video,
        audio=audio,
        dropped=tuple(sorted([*chosen.dropped, *dropped], key=lambda stream: stream.index)),
        seekable=document["format"]["format_name"].startswith(SEEKABLE),
        damage=found,
    )
    return info, index


def _check_limits(document: Document, settings: Settings) -> None:
    if len(document["streams"]) > settings.max_source_streams:
        raise LimitExceeded(
            f"The source has {len(document['streams'])} streams; at most {settings.max_source_streams} are allowed "
            "(MEDIA_MAX_SOURCE_STREAMS)."
        )
    for stream in document["streams"]:
        pixels = int(stream.get("width") or 0) * int(stream.get("height") or 0)
        if pixels > settings.max_source_pixels:
            raise LimitExceeded(
                f"The source's picture has {stream['width']}x{stream['height']} = {pixels} pixels; at most "
                f"{settings.max_source_pixels} are allowed (MEDIA_MAX_SOURCE_PIXELS)."
            )
    try:
        # Some containers tell how long it is from zero, others from the start; of which it is, the packets will tell exactly.
        start, end = (Fraction(document["format"].get(name, "0")) for name in ("start_time", "duration"))
    except ValueError:
        return
    seconds = end - max(start, Fraction(0))
    if seconds > settings.max_source_seconds:
        raise _too_long(seconds, settings)


# Where the decoders of codecs come from that not every ffmpeg brings along.
_DECODERS = {"av1": "built with libdav1d or libaom", "vvc": "of version 7.1 or newer", "evc": "built with libxevd"}


def _undecodable(stream: Document, settings: Settings) -> str | None:
    """Return why this ffmpeg cannot decode the stream and what to do about it; None where it can."""
    codec = stream["codec_name"]
    if tools.has_decoder(codec, settings):
        return None
    return (
        f"it is {codec}, for which this ffmpeg ({tools.tools(settings).version}) has no decoder; install an ffmpeg "
        f"{_DECODERS.get(codec, 'that has one')} (MEDIA_FFMPEG names it) or convert the source"
    )


def _too_long(seconds: Fraction, settings: Settings) -> LimitExceeded:
    return LimitExceeded(
        f"The source lasts {float(seconds):.0f} s; at most {settings.max_source_seconds} s are allowed "
        "(MEDIA_MAX_SOURCE_SECONDS)."
    )


def _video(source: Source, stream: Document, table: Mapping[int, StreamPackets]) -> tuple[VideoStream, FrameIndex]:
    number, codec = stream["index"], stream["codec_name"]
    own = table.get(number)
    time_base = streams.rational(stream["time_base"])
    if not own or not time_base:
        raise InvalidInputData(f"The video (stream {number}) has no packets.")
    order = stream.get("field_order") or "unknown"
    if order == "unknown" and codec in {"h264", "mpeg2video", "mpeg4", "vc1", "dvvideo", "prores", "mjpeg"}:
        order = source.field_order(number)
    interlaced = order in {"tt", "bb", "tb", "bt"}
    index = frame_index(source, number, own, codec=codec, interlaced=interlaced, time_base=time_base)
    told = [streams.rational(stream.get(name)) for name in ("r_frame_rate", "avg_frame_rate")]
    exact = rate.constant_rate(index.pts, time_base, index.end_pts - index.pts[-1], told)
    count = len(index.pts)
    duration = count / exact if exact else (index.end_pts - index.pts[0]) * time_base
    shown = streams.picture(stream)
    video = VideoStream(
        index=number,
        codec=codec,
        profile=stream.get("profile"),
        width=shown.width,
        height=shown.height,
        sar=shown.sar,
        rotation=shown.rotation,
        flipped=shown.flipped,
        display_width=shown.display_width,
        display_height=shown.display_height,
        pix_fmt=stream.get("pix_fmt", "unknown"),
        bit_depth=streams.bit_depth(stream),
        interlaced=interlaced,
        # ffprobe's tb and bt name the field that is coded first, then the one that is shown first.
        top_field_first=order not in {"bb", "tb"},
        color=streams.color(stream),
        time_base=time_base,
        frame_rate=exact or (count / duration).limit_denominator(1001),
        constant_frame_rate=exact is not None,
        start_pts=index.pts[0],
        frames=count,
        duration=duration,
        bit_rate=round(own.bytes * 8 / duration),
    )
    return video, index


def frame_index(
    source: Source, number: int, own: StreamPackets, *, codec: str, interlaced: bool, time_base: Fraction
) -> FrameIndex:
    """Return every frame of video stream ``number``, whose packets are ``own``; decodes it where they do not tell."""
    if not (why := packets.needs_frames(own, codec, interlaced, source.container)):
        return packets.index_packets(own, time_base)
    span = own.span()
    seconds = float((span[1] - span[0]) * time_base) if span else 3600.0
    return packets.index_frames(source.frames(number, why, seconds), own, time_base)


def _audio(
    source: Source, chosen: tuple[Document, ...], table: Mapping[int, StreamPackets]
) -> tuple[tuple[AudioStream, ...], list[DroppedStream]]:
    dropped = [
        DroppedStream(index=stream["index"], kind="audio", codec=stream["codec_name"], reason="it has no packets")
        for stream in chosen
        if not _span(stream, table)
    ]
    kept = [stream for stream in chosen if _span(stream, table)]
    first = source.first_samples(_until_heard(source.document(), kept, table)) if kept else {}
    return tuple(_audio_stream(stream, table[stream["index"]], first.get(stream["index"])) for stream in kept), dropped


def _until_heard(document: Document, kept: Sequence[Document], table: Mapping[int, StreamPackets]) -> int:
    """Return how many packets of audio a file has until all ``kept`` streams are heard."""
    # Codecs start with samples that are not meant to be heard; only decoding tells how many.
    heads = [table[stream["index"]].discarded for stream in kept]
    leading = max((head.index(False) for head in heads if False in head), default=0)
    bases = {stream["index"]: streams.rational(stream.get("time_base")) or Fraction(1) for stream in document["streams"]}
    begun = max(table[stream["index"]].due()[: leading + 4][-1] * bases[stream["index"]] for stream in kept)
    # Before a stream that starts late lies all of the others until then; within a second they take turns in any way.
    audio = [
        stream["index"] for stream in document["streams"] if stream.get("codec_type") == "audio" and stream["index"] in table
    ]
    limits = {index: (begun + 1) // bases[index] for index in audio}
    return sum(time <= limits[index] for index in audio for time in table[index].due()) + 4 * len(audio)


def _span(stream: Document, table: Mapping[int, StreamPackets]) -> tuple[int, int] | None:
    own = table.get(stream["index"])
    return own.span() if own else None


def _audio_stream(stream: Document, own: StreamPackets, first: int | None) -> AudioStream:
    time_base, span, tags = streams.rational(stream["time_base"]), own.span(), stream.get("tags", {})
    if not time_base or not span:
        raise InvalidInputData(f"Audio stream {stream['index']} has no timestamps.")
    start = span[0] if first is None else max(first, span[0])
    duration = max(span[1] - start, 1) * time_base
    layout = stream.get("channel_layout")
    language = str(tags.get("language", "und")).lower()
    return AudioStream(
        index=stream["index"],
        codec=stream["codec_name"],
        channels=int(stream["channels"]),
        # ffprobe 8 says "2 channels" where only their number is known.
        layout=None if not layout or layout == "unknown" or re.fullmatch(r"\d+ channels.*", layout) else layout,
        sample_rate=int(stream["sample_rate"]),
        language=language if re.fullmatch(r"[a-z]{2,3}", language) and language != "und" else None,
        title=tags.get("title") or None,
        default=bool(stream.get("disposition", {}).get("default")),
        start_time=start * time_base,
        duration=duration,
        bit_rate=round(own.bytes * 8 / duration),
    )


def _duration(video: VideoStream, audio: tuple[AudioStream, ...]) -> Fraction:
    ends = [video.start_time + video.duration, *(stream.start_time + stream.duration for stream in audio)]
    return max(ends) - min([video.start_time, *(stream.start_time for stream in audio)])
