"""Which profiles there can be: what a container holds, and what fields of an encoding say together. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from include.errors import OutputNotSupported, ParameterError
from include.ffmpeg_ops.codecs import CODECS, ENCODERS, MPEG2_LONGEST_GOP, check_frame_rate, check_size
from include.ffmpeg_ops.encodings import Encoding, TaskProfile
from include.ffmpeg_ops.sounds import FORMATS, check_sound

__all__ = ["check_audio", "check_playlist", "check_profile", "check_targets", "check_video", "container_of"]

# By ffprobe's names. HLS: what its players play (RFC 8216, 3.2; Apple's authoring specification).
_VIDEO = {
    "flv": {"h264"},
    "mp4": {"h264", "hevc", "mpeg2video"},
    "m3u8": {"h264", "hevc"},
    "mpegts": {"h264", "hevc", "mpeg2video"},
}
_AUDIO = {
    "flv": {"aac", "mp3"},
    # Not MPEG layer II: there an MP4 names all layers the same, and players take it for the third.
    "mp4": {"aac", "mp3", "ac3"},
    "m3u8": {"aac", "mp3", "ac3"},
    "mpegts": {"aac", "mp3", "ac3", "mp2"},
}
# What is copied, too, though no profile can ask for it.
_COPIED_VIDEO = {"mp4": {"mpeg4", "av1", "vp9"}, "mpegts": {"mpeg4"}}
_COPIED_AUDIO = {"mp4": {"eac3", "alac", "flac", "opus"}, "m3u8": {"eac3"}, "mpegts": {"eac3"}}
# ffprobe's names of containers, of which the first known one counts.
_CONTAINERS = {"mov": "mp4", "mp4": "mp4", "flv": "flv", "mpegts": "mpegts"}
# Segments are named like it, with a number and a suffix, within a file system's usual 255 bytes.
LONGEST_PLAYLIST_NAME = 245
_OF_LADDER = ("format", "rc_mode", "framerate", "gop_size", "audio_format", "audio_bitrate", "audio_samplerate", "channels")


def check_profile(profile: TaskProfile, encoders: Collection[str]) -> None:
    """Check all that does not depend on a source; ``encoders`` are :func:`include.ffmpeg_ops.tools.encoders`.

    Raises :class:`ParameterError` for fields that contradict each other, and :class:`OutputNotSupported` for what formats,
    containers or this ffmpeg cannot do.
    """
    first, *others = profile.encodings
    for number, encoding in enumerate(profile.encodings):
        where = f"encoding {number + 1} of the profile {profile.profile_name}: " if others else ""
        try:
            _check_fields(encoding)
            _check_abilities(encoding, encoders)
        except ParameterError as error:
            raise ParameterError(f"{where}{error.message}") from error
        except OutputNotSupported as error:
            raise OutputNotSupported(f"{where}{error.message}") from error
    if others and any(encoding.container != "m3u8" for encoding in profile.encodings):
        raise ParameterError("Only an m3u8 output holds several encodings, as a ladder; make profiles of the others.")
    for encoding in others:
        if different := [name for name in _OF_LADDER if getattr(encoding, name) != getattr(first, name)]:
            raise ParameterError(f"The encodings of a ladder must have the same {different[0]}, so that players can change over.")
    if others and first.format == "copy":
        raise ParameterError("A ladder of copies would hold the same video several times.")


def check_targets(profile: TaskProfile, keys: Sequence[str]) -> None:
    """Raise :class:`ParameterError` where object keys and the profile cannot go together: playlists end with ``.m3u8``."""
    if len(set(keys)) < len(keys):
        raise ParameterError("targets: the same object is named twice.")
    container = profile.encodings[0].container
    for key in keys:
        if container == "m3u8":
            check_playlist(key)
        elif key.lower().endswith(".m3u8"):
            raise ParameterError(f"target_url: the key of an output of the container {container} does not end with .m3u8.")


def check_playlist(key: str) -> None:
    """Raise :class:`ParameterError` where a playlist may not have this object key: segments are named like it."""
    name = key.rpartition("/")[2]
    if not name.lower().endswith(".m3u8"):
        raise ParameterError("target_url: the key of an output of the container m3u8 ends with .m3u8.")
    if name.lower() == ".m3u8" or len(name.encode()) > LONGEST_PLAYLIST_NAME:
        raise ParameterError(f"target_url: a playlist's name has 1 to {LONGEST_PLAYLIST_NAME - 5} bytes before .m3u8.")


def check_video(container: str, codec: str, *, copied: bool = False) -> None:
    """Raise :class:`OutputNotSupported` where ``container`` does not hold the video codec (ffprobe's name)."""
    held = _VIDEO[container] | (_COPIED_VIDEO.get(container, set()) if copied else set())
    if codec not in held:
        raise OutputNotSupported(f"A {container} output does not hold {codec} video; it holds {_listed(held)}.")


def check_audio(container: str, codec: str, *, copied: bool = False) -> None:
    """Raise :class:`OutputNotSupported` where ``container`` does not hold the audio codec (ffprobe's name)."""
    held = _AUDIO[container] | (_COPIED_AUDIO.get(container, set()) if copied else set())
    if codec not in held:
        raise OutputNotSupported(f"A {container} output does not hold {codec} audio; it holds {_listed(held)}.")


def container_of(encoding: Encoding, source_format: str) -> str:
    """Return the encoding's container, or for ``copy`` the source's, whose format ffprobe names so.

    Raises :class:`OutputNotSupported` where that is none that profiles can ask for.
    """
    if encoding.container != "copy":
        return encoding.container
    found = next((_CONTAINERS[name] for name in source_format.split(",") if name in _CONTAINERS), None)
    if found is None:
        raise OutputNotSupported(f"container copy: outputs are not written as the source is, {source_format}; name a container.")
    return found


def _check_fields(encoding: Encoding) -> None:
    named = [name for name in ("bitrate", "framerate", "width", "height", "gop_size", "b_frame_size") if getattr(encoding, name)]
    if encoding.format == "copy" and named:
        raise ParameterError(f"format copy does not encode again, so it has no {named[0]}.")
    named = [name for name in ("audio_bitrate", "audio_samplerate", "channels") if getattr(encoding, name)]
    if encoding.audio_format == "copy" and named:
        raise ParameterError(f"audio_format copy does not encode again, so it has no {named[0]}.")
    if encoding.format != "copy" and encoding.rc_mode != "vbr" and encoding.bitrate is None:
        raise ParameterError(f"rc_mode {encoding.rc_mode} needs a bitrate to keep.")


def _check_abilities(encoding: Encoding, encoders: Collection[str]) -> None:
    for name in ("width", "height"):
        if (getattr(encoding, name) or 0) % 2:
            raise OutputNotSupported(f"{name} {getattr(encoding, name)} is odd; pictures of halved chroma have even sizes.")
    if encoding.format != "copy":
        if encoding.container != "copy":
            check_video(encoding.container, CODECS[encoding.format])
        _check_encoder(encoding.format, ENCODERS[encoding.format], encoders)
    if encoding.format == "mpeg2":
        _check_mpeg2(encoding)
    if encoding.audio_format != "copy":
        if encoding.container != "copy":
            check_audio(encoding.container, FORMATS[encoding.audio_format].codec)
        check_sound(encoding, encoding.container)
        _check_encoder(encoding.audio_format, FORMATS[encoding.audio_format].encoder, encoders)


def _check_mpeg2(encoding: Encoding) -> None:
    if encoding.framerate is not None:
        check_frame_rate(encoding, encoding.framerate)
    if (encoding.gop_size or 0) > MPEG2_LONGEST_GOP:
        raise OutputNotSupported(f"MPEG-2 has at most {MPEG2_LONGEST_GOP} frames from keyframe to keyframe here.")
    check_size(encoding, encoding.width or 2, encoding.height or 2)


def _check_encoder(format: str, encoder: str, encoders: Collection[str]) -> None:
    if encoder not in encoders:
        raise OutputNotSupported(f"This server's ffmpeg was built without an encoder for {format} ({encoder}).")


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
