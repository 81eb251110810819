"""Makes one file of a recording's segments, and publishes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from include.errors import VerificationFailed
from include.ffmpeg_ops.feed import feed
from include.ffmpeg_ops.live import commands
from include.ffmpeg_ops.live.transport import Slicer
from include.ffmpeg_ops.runner import Command, run
from include.media_store.models import ObjectRef
from include.net.urls import MediaUrl
from include.worker.workbench import Workbench

__all__ = ["remuxed"]


def remuxed(workbench: Workbench, bucket: str, segments: Sequence[str], container: str, target: MediaUrl) -> ObjectRef:
    """Copy the segments (keys in ``bucket``) into one ``container`` and upload it to ``target``.

    Raises :class:`VerificationFailed` where the file does not hold every picture of the segments.
    """
    path = workbench.scratch / f"recording.{container}"
    pictures = 0
    slicer = Slicer()
    with feed(commands.remux(container, path), cancelled=workbench.cancelled, settings=workbench.settings) as feeding:
        for key in segments:
            data = workbench.store.get_bytes(bucket, key)
            feeding.write(data, workbench.settings.stall_seconds)
            slicer.restart()
            pictures += sum(piece.picture for part in (slicer.push(data), slicer.flush()) for piece in part)
        feeding.finish(workbench.remaining())
    found = _pictures(workbench, path)
    if found != pictures:
        raise VerificationFailed(
            f"The recording {target.redacted} has {found} frames, expected {pictures}: nothing is published."
        )
    ref = workbench.store.upload(path, target.bucket, target.key)
    path.unlink()
    return ref


def _pictures(workbench: Workbench, path: Path) -> int:
    what = ("-select_streams", "V:0", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "json")
    argv = ("ffprobe", "-protocol_whitelist", "file", *what, f"file:{path}")
    streams = json.loads(run(Command(argv), settings=workbench.settings).stdout)["streams"]
    return int(streams[0]["nb_read_packets"]) if streams else 0
