"""Pure: the command lines of a live task: from the source to a transport stream, and from that to a target or a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from include.ffmpeg_ops.codecs import video_options
from include.ffmpeg_ops.encodings import Encoding
from include.ffmpeg_ops.runner import Command, input_options
from include.ffmpeg_ops.sounds import Sound, audio_options, choose_sound

__all__ = ["Opened", "ingest", "relay", "remux", "sound_of"]

# Pictures and sound are known after this much of a live stream at the latest.
_ANALYSIS = ("-probesize", "10000000", "-analyzeduration", "5000000")
# What the relays read is our own stream, whose parameters stand at every keyframe.
_OWN_ANALYSIS = ("-probesize", "5000000", "-analyzeduration", "1000000", "-fpsprobesize", "0")
# What it says of its input, before it writes anything, tells whether that is HDR.
_TELLING = ("-loglevel", "level+info", "-nostats")
# What live protocols carry: nothing that names other files. Times of `live_flv` may begin anew: a publisher was away.
_LIVE_CONTAINERS = {"rtmp": "live_flv", "rtmps": "live_flv", "rtsp": "rtsp", "srt": "mpegts", "udp": "mpegts"}
# Microseconds of silence after which a source has ended; RTMP waits for as long once more.
_SILENCE = {
    "rtmp": ("-rw_timeout", 500_000),
    "rtmps": ("-rw_timeout", 500_000),
    **dict.fromkeys(("rtsp", "srt", "udp"), ("-timeout", 1_000_000)),
}
_MUXERS = {
    "rtmp": ("-f", "flv", "-flvflags", "no_duration_filesize"),
    "rtmps": ("-f", "flv", "-flvflags", "no_duration_filesize"),
}
_TRANSPORT = ("-f", "mpegts", "-muxdelay", "0", "-muxpreload", "0", "-flush_packets", "1")
# What was not acknowledged when the stream ends is waited for.
_OF_PROTOCOL = {"srt": ("-linger", "5")}
_FILES = {
    "mp4": ("-movflags", "+faststart", "-f", "mp4"),
    "flv": ("-flvflags", "add_keyframe_index", "-f", "flv"),
    "mpegts": ("-f", "mpegts", "-muxdelay", "0", "-muxpreload", "0"),
}
# Little is known of a live source's sound before it comes, and what targets get must not change when it is lost and back.
_CHANNELS, _SAMPLE_RATE = 2, 48_000
_KEYFRAME_SECONDS = 2


@dataclass(frozen=True)
class Opened:
    """What ffmpeg opens: an address with its scheme, options before it and the protocols that it may use; or a file."""

    url: str
    scheme: str
    options: Sequence[str] = ()
    protocols: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it is read at the speed of its own time, and has an end."""
        return self.scheme == "file"


def ingest(
    source: Opened, encoding: Encoding, *, flv: bool, offset: float, seek: float, silence: float, pixels: int, streams: int
) -> Command:
    """Return the command that encodes ``source`` into a transport stream on standard output, with times from ``offset`` (s).

    ``flv``: a target gets it as FLV, which takes less than others. A file is read from ``seek`` (s) on, a live source ends after
    ``silence`` (s). Larger pictures and more streams than told are refused.
    """
    limits = ("-max_pixels", str(pixels), "-max_streams", str(streams))
    return Command(
        (
            "ffmpeg",
            *(() if encoding.format == "copy" else _TELLING),
            *_opened(source, seek, silence),
            *limits,
            *_ANALYSIS,
            *("-i", source.url),
            # A cover picture is no video.
            *("-map", "0:V:0", "-map", "0:a:0?", "-map_metadata", "-1", "-sn", "-dn"),
            *_video(encoding),
            *_audio(encoding, flv),
            # Sound that is announced and does not come holds up pictures no longer than this.
            *("-max_interleave_delta", "1000000", "-max_muxing_queue_size", "4096"),
            *_TRANSPORT,
            *("-output_ts_offset", f"{offset:.6f}", "pipe:1"),
        )
    )


def sound_of(encoding: Encoding, *, flv: bool) -> Sound:
    """Return what a source's sound becomes, which is not copied; :class:`OutputNotSupported` where the profile's cannot be."""
    return choose_sound(
        encoding,
        "flv" if flv else "mpegts",
        channels=encoding.channels or _CHANNELS,
        sample_rate=encoding.audio_samplerate or _SAMPLE_RATE,
    )


def relay(target: Opened) -> Command:
    """Return the command that sends a transport stream from standard input to a live target as it is, with times from zero."""
    protocols = ",".join(filter(None, ("pipe", target.protocols)))
    return Command(
        (
            "ffmpeg",
            *("-protocol_whitelist", protocols, "-format_whitelist", "mpegts", "-f", "mpegts"),
            *_OWN_ANALYSIS,
            # As they come: also over a gap.
            *("-copyts", "-start_at_zero", "-i", "pipe:0", "-map", "0:v", "-map", "0:a?", "-c", "copy"),
            *_MUXERS.get(target.scheme, _TRANSPORT),
            *_OF_PROTOCOL.get(target.scheme, ()),
            *target.options,
            target.url,
        )
    )


def remux(container: str, path: Path) -> Command:
    """Return the command that puts a transport stream from standard input into a file."""
    reading = ("-protocol_whitelist", "pipe,file", "-format_whitelist", "mpegts", "-f", "mpegts", "-copyts", "-start_at_zero")
    argv = ("ffmpeg", *reading, "-i", "pipe:0", "-map", "0:v", "-map", "0:a?", "-c", "copy", *_FILES[container], f"file:{path}")
    return Command(argv, outputs={"recording": path})


def _opened(source: Opened, seek: float, silence: float) -> tuple[str, ...]:
    if source.is_file:
        return (*input_options("source"), "-re", *(("-ss", f"{seek:.6f}") if seek else ()))
    container = _LIVE_CONTAINERS[source.scheme]
    option, microseconds = _SILENCE[source.scheme]
    return (
        *("-protocol_whitelist", source.protocols, "-format_whitelist", container, "-f", container),
        *(option, str(round(silence * microseconds))),
        *source.options,
    )


def _video(encoding: Encoding) -> tuple[str, ...]:
    if encoding.format == "copy":
        return ("-c:v", "copy")
    rate = encoding.framerate
    # The source's own rate is not known before it comes, and may vary: keyframes are placed by time.
    by_time = rate is None and encoding.gop_size is None
    options = video_options(encoding, frame_rate=rate or Fraction(25), forced_keyframes=by_time)
    if by_time:
        options += ("-force_key_frames", f"expr:gte(t,n_forced*{_KEYFRAME_SECONDS})")
    if rate is None and encoding.format != "mpeg2":
        options += ("-fps_mode", "passthrough", "-enc_time_base", "1:90000")
    return ("-vf", ",".join(_filters(encoding)), *options)


def _filters(encoding: Encoding) -> list[str]:
    rate, width, height = encoding.framerate, encoding.width, encoding.height
    # What is interlaced is known of each picture when it comes; those that are whole pass. Scaling would mix the fields.
    filters = ["bwdif=mode=send_frame:deint=interlaced"]
    filters += [f"fps={rate.numerator}/{rate.denominator}"] if rate else []
    filters.append("scale='trunc(iw*sar/2)*2':'trunc(ih/2)*2'")
    if width and height:
        filters.append(f"scale={width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2")
        filters.append(f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2")
    elif width:
        filters.append(f"scale='min(iw,{width})':-2")
    elif height:
        filters.append(f"scale=-2:'min(ih,{height})'")
    return [*filters, "setsar=1", "format=yuv420p"]


def _audio(encoding: Encoding, flv: bool) -> tuple[str, ...]:
    if encoding.audio_format == "copy":
        return ("-c:a", "copy")
    sound = sound_of(encoding, flv=flv)
    # Gaps are filled with silence, so that sound and pictures stay together.
    filters = ("-af", "aresample=async=1:first_pts=0", "-ac", str(sound.channels), "-ar", str(sound.sample_rate))
    return (*filters, *audio_options(sound.format.name, sound.bit_rate))
