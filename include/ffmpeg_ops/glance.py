"""A quick look at a video in place, before anything of it is fetched: how large and how long it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from include.errors import InputError, InputNotSupported, MediaError, StorageError, TimedOut
from include.ffmpeg_ops import runner, streams
from include.settings import Settings

__all__ = ["Glance", "glance"]


@dataclass(frozen=True)
class Glance:
    """What a container's header says; ``duration`` in seconds is None where it says nothing."""

    width: int
    height: int
    bit_depth: int
    duration: Fraction | None


def glance(url: str, settings: Settings, timeout: float) -> Glance:
    """Look at the video at ``url``, an address that we have made; the address appears in no message and no log.

    Raises :class:`InputNotSupported` for what is no video, :class:`TimedOut`, and :class:`StorageError` where it cannot be read.
    """
    argv = ("ffprobe", "-show_format", "-show_streams", "-of", "json", *runner.input_options("url"), "-i", url)
    try:
        text = runner.run(runner.Command(argv), timeout=timeout, settings=settings).stdout
        document = json.loads(text or "{}")
        chosen = streams.select(document.get("streams", ()))
    except TimedOut:
        raise TimedOut(f"The source could not be looked at within {timeout:g} s; try again.") from None
    except InputError as error:
        # What ffprobe itself says may hold the address.
        own = error.message if "video stream" in error.message or "audio" in error.message else ""
        raise InputNotSupported(f"The object is not a video that can be read. {own}".strip()) from None
    except MediaError:
        raise StorageError("The source could not be looked at; try again.") from None
    picture = streams.picture(chosen.video)
    return Glance(picture.width, picture.height, streams.bit_depth(chosen.video), _duration(document, chosen.video))


def _duration(document: Any, video: Any) -> Fraction | None:
    for told in (video.get("duration"), document.get("format", {}).get("duration")):
        try:
            return Fraction(str(told))
        except ValueError:
            continue
    return None
