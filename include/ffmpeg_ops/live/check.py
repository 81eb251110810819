"""What can go together in a live task: profile, source and targets, and this machine's ffmpeg."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from include.errors import InputNotSupported, MediaError, OutputNotSupported, ParameterError
from include.ffmpeg_ops.codecs import CODECS
from include.ffmpeg_ops.compatibility import check_audio, check_playlist, check_video
from include.ffmpeg_ops.encodings import Encoding, TaskProfile
from include.ffmpeg_ops.live.commands import sound_of
from include.ffmpeg_ops.sounds import FORMATS
from include.ffmpeg_ops.tools import has_protocol
from include.settings import Settings

__all__ = ["check_live", "container_for"]

_BY_SCHEME = {"rtmp": "flv", "rtmps": "flv", "srt": "mpegts", "udp": "mpegts"}
_BY_SUFFIX = {".m3u8": "m3u8", ".mp4": "mp4", ".flv": "flv", ".ts": "mpegts"}


def check_live(profile: TaskProfile, source_scheme: str, targets: Sequence[tuple[str, str]], settings: Settings) -> None:
    """Check all that does not depend on the stream; ``targets`` are scheme and, of an object, ``bucket/key``.

    Raises :class:`ParameterError` for what cannot go together, :class:`InputNotSupported` and :class:`OutputNotSupported` where
    this ffmpeg does not speak a protocol.
    """
    if len(profile.encodings) > 1:
        raise ParameterError(f"A live task has one encoding; the profile {profile.profile_name} has {len(profile.encodings)}.")
    encoding = profile.encodings[0]
    if source_scheme not in {"s3", "http", "https", "rtsp"} and not has_protocol(source_scheme, "input", settings):
        raise InputNotSupported(
            f"This machine's ffmpeg does not read {source_scheme}; install one that does, or set MEDIA_FFMPEG."
        )
    recordings: set[str] = set()
    for scheme, key in targets:
        container = container_for(encoding, scheme, key)
        if container == "m3u8":
            check_playlist(key)
            # Segments are named like their playlist, whose suffix may be in capitals.
            if (stem := key.rpartition(".")[0]) in recordings:
                raise ParameterError("targets: two recordings of one name would have the same segments; name one otherwise.")
            recordings.add(stem)
        try:
            if encoding.format != "copy":
                check_video(container, CODECS[encoding.format])
            if encoding.audio_format != "copy":
                check_audio(container, FORMATS[encoding.audio_format].codec)
                sound_of(encoding, flv=container == "flv")
        except MediaError as error:
            raise ParameterError(
                f"The profile {profile.profile_name} does not suit the {scheme} target: {error.message}"
            ) from error
        if scheme != "s3" and not has_protocol(scheme, "output", settings):
            raise OutputNotSupported(
                f"This machine's ffmpeg does not write {scheme}; install one that does, or set MEDIA_FFMPEG."
            )


def container_for(encoding: Encoding, scheme: str, key: str) -> str:
    """Return what a target gets: a live one what its protocol takes, an object what the profile says or else its name."""
    if scheme in _BY_SCHEME:
        return _BY_SCHEME[scheme]
    by_name = _BY_SUFFIX.get(PurePosixPath(key).suffix.lower())
    if by_name == "m3u8":
        return by_name
    if encoding.container != "copy":
        return encoding.container
    if by_name is None:
        raise ParameterError("target_url: with container copy a recording is named .m3u8, .mp4, .flv or .ts.")
    return by_name
