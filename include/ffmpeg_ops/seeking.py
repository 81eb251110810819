"""Tells what decoders say of a source because they began in the middle of it from what they say of damage."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from fractions import Fraction
from pathlib import Path

from include.errors import InputError
from include.ffmpeg_ops import log, runner
from include.ffmpeg_ops.encoders import seconds
from include.ffmpeg_ops.models import VideoTask
from include.ffmpeg_ops.process import LOG_LINES
from include.ffmpeg_ops.runner import Command
from include.settings import Settings

__all__ = ["explains"]

logger = logging.getLogger(__name__)

# Most sources have a keyframe in that time, after which a decoder lacks nothing.
RUN_UP_SECONDS = 10
# No codec holds more pictures back: a packet lies at most that many frames away from its place in presentation order.
MOST_REORDERED = 16


def explains(
    source: Path,
    task: VideoTask,
    *,
    timeout: float | None = None,
    cancelled: threading.Event | None = None,
    settings: Settings | None = None,
) -> bool:
    """Tell whether a decoder complained of a chunk only because it began close before it.

    Whoever begins long before complains of pictures that refer to what was not read, and then has what the chunk needs: nothing
    more is said when the chunk follows. Where something is, packets of the chunk are damaged or missing. What was said before
    concerns the chunks before.
    """
    before, through = commands(source, task)
    try:
        said = [runner.run(command, timeout=timeout, cancelled=cancelled, settings=settings).log for command in (before, through)]
    except InputError as error:
        logger.info("chunk %d cannot be decoded from earlier: %s", task.chunk.index, error.message)
        return False
    # Of more lines the first are lost.
    return all(len(lines) < LOG_LINES for lines in said) and Counter(log.complaints(said[0])) == Counter(log.complaints(said[1]))


def commands(source: Path, task: VideoTask) -> tuple[Command, Command]:
    """Return the commands that decode what lies before a chunk, up to its first packet in the file, and that and the chunk."""
    stream, chunk = task.stream, task.chunk
    frame = 1 / stream.frame_rate
    first, end = chunk.start_pts * stream.time_base, chunk.end_pts * stream.time_base
    begin = first - RUN_UP_SECONDS
    if chunk.seek_pts is not None:
        begin = min(begin, chunk.seek_pts * stream.time_base - RUN_UP_SECONDS)
    start = seconds(begin) if begin > stream.start_time else ""

    def decode(until: Fraction) -> Command:
        return Command(
            (
                *("ffprobe", "-loglevel", "repeat+level+warning", "-threads", str(task.threads), *runner.input_options()),
                *("-select_streams", str(stream.index), "-read_intervals", f"{start}%{seconds(until)}"),
                *("-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", "-i", f"file:{source}"),
            )
        )

    return decode(first - frame / 2), decode(end + MOST_REORDERED * frame)
