"""What a profile's encodings become for a source: sizes, rungs, sounds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from include.errors import OutputNotSupported
from include.ffmpeg_ops import ladder
from include.ffmpeg_ops.codecs import CODECS, check_size
from include.ffmpeg_ops.compatibility import check_audio, check_video
from include.ffmpeg_ops.encodings import Encoding, TaskProfile
from include.ffmpeg_ops.models import AudioStream, AudioTarget, DroppedStream, MediaInfo, TaskRung, VideoStream
from include.ffmpeg_ops.sounds import choose_sound

__all__ = ["Size", "size_for", "task_rungs", "task_sounds"]

# A picture this much smaller than its frame came so from rounding; bars would be thinner than can be seen.
_ROUNDING = 2


@dataclass(frozen=True)
class Size:
    """A frame of square pixels, and the size of the picture in it where black bars are around that."""

    width: int
    height: int
    picture: tuple[int, int] | None = None


def size_for(encoding: Encoding, display_width: int, display_height: int) -> Size:
    """Return the size of an output whose source is shown at ``display_width`` x ``display_height`` square pixels.

    Neither side named: as the source, one less where that is odd. One named: at most that, never scaled up. Both named: exactly
    that, scaled up if need be, and the picture keeps its aspect between black bars.
    """
    whole = Size(_even_below(display_width), _even_below(display_height))
    if encoding.width and encoding.height:
        scale = min(Fraction(encoding.width, display_width), Fraction(encoding.height, display_height))
        picture = (_even(display_width * scale, encoding.width), _even(display_height * scale, encoding.height))
        bars = encoding.width - picture[0] > _ROUNDING or encoding.height - picture[1] > _ROUNDING
        return Size(encoding.width, encoding.height, picture if bars else None)
    if encoding.width and encoding.width < whole.width:
        return Size(encoding.width, _even(Fraction(display_height * encoding.width, display_width), whole.height))
    if encoding.height and encoding.height < whole.height:
        return Size(_even(Fraction(display_width * encoding.height, display_height), whole.width), encoding.height)
    return whole


def task_rungs(profile: TaskProfile, info: MediaInfo, container: str, *, preset: str | None = None) -> tuple[TaskRung, ...]:
    """Return what ``profile`` makes of the source's video; ``preset`` overrides x264's.

    Raises :class:`OutputNotSupported` for what ``container`` cannot hold.
    """
    rungs: list[TaskRung] = []
    for encoding in profile.encodings:
        video = info.video
        if encoding.format == "copy":
            _check_copy(video, container)
            rung = TaskRung(name="copy", width=video.width, height=video.height, codec=video.codec, encoding=encoding)
        else:
            check_video(container, CODECS[encoding.format])
            size = size_for(encoding, video.display_width, video.display_height)
            check_size(encoding, size.width, size.height)
            rung = TaskRung(
                name=_name(encoding, size, rungs),
                width=size.width,
                height=size.height,
                picture=size.picture,
                codec=CODECS[encoding.format],
                encoding=encoding,
                preset=preset if encoding.format == "h264" else None,
            )
        rungs.append(rung)
    return tuple(rungs)


def task_sounds(encoding: Encoding, info: MediaInfo, container: str) -> tuple[tuple[AudioTarget, ...], tuple[DroppedStream, ...]]:
    """Return how each audio stream is encoded or copied, and those that ``container`` has no room for.

    Raises :class:`OutputNotSupported` for what the container or the format cannot hold, and :class:`InputNotSupported` for
    layouts that cannot be mixed.
    """
    kept = info.audio
    dropped: tuple[DroppedStream, ...] = ()
    if container == "flv" and len(info.audio) > 1:
        kept = (next((stream for stream in info.audio if stream.default), info.audio[0]),)
        dropped = tuple(
            DroppedStream(index=stream.index, kind="audio", codec=stream.codec, reason="an FLV holds one audio stream")
            for stream in info.audio
            if stream not in kept
        )
    make = _copied_sound if encoding.audio_format == "copy" else _encoded_sound
    return tuple(make(encoding, stream, container) for stream in kept), dropped


def _copied_sound(encoding: Encoding, stream: AudioStream, container: str) -> AudioTarget:
    check_audio(container, stream.codec, copied=True)
    return AudioTarget(
        stream=stream,
        channels=stream.channels,
        layout=stream.layout or "",
        sample_rate=stream.sample_rate,
        bit_rate=stream.bit_rate or 0,
        format="copy",
        codec=stream.codec,
    )


def _encoded_sound(encoding: Encoding, stream: AudioStream, container: str) -> AudioTarget:
    channels, layout = ladder.mixed_layout(stream)
    sound = choose_sound(encoding, container, channels=channels, sample_rate=stream.sample_rate, layout=layout)
    check_audio(container, sound.format.codec)
    return AudioTarget(
        stream=stream,
        channels=sound.channels,
        layout=sound.layout,
        sample_rate=sound.sample_rate,
        bit_rate=sound.bit_rate,
        format=encoding.audio_format,
        codec=sound.format.codec,
    )


def _check_copy(video: VideoStream, container: str) -> None:
    check_video(container, video.codec, copied=True)
    if container != "mp4" and (video.rotation or video.flipped):
        raise OutputNotSupported(
            f"The source's pictures are to be turned when they are shown, which a {container} output cannot tell; "
            "use a profile that encodes them again."
        )


def _name(encoding: Encoding, size: Size, others: Sequence[TaskRung]) -> str:
    rate = f"{encoding.bitrate // 1000}k" if encoding.bitrate else ""
    name = f"{size.height}p{rate}"
    taken = {rung.name for rung in others}
    return name if name not in taken else next(found for n in range(2, 99) if (found := f"{name}n{n}") not in taken)


def _even(value: Fraction, most: int) -> int:
    return max(2, min(2 * floor(value / 2 + Fraction(1, 2)), most))


def _even_below(value: int) -> int:
    return max(2, value - value % 2)
