"""How near to its bitrate an output must come. Pure."""

from __future__ import annotations

from fractions import Fraction

from include.ffmpeg_ops.models import Rung, TaskRung, VideoTask

__all__ = ["TOLERANCE", "deviation", "in_two_passes", "is_filled_up", "promised"]

TOLERANCE = Fraction(1, 20)
# In a shorter film the first keyframe alone weighs more than the tolerance.
SHORTEST = Fraction(8)


def deviation(rung: Rung | TaskRung, size: int, seconds: Fraction) -> Fraction:
    """Return by what share ``size`` bytes of video in ``seconds`` miss the rung's bitrate; 0 where it promises none."""
    bitrate = promised(rung)
    return Fraction(0) if bitrate is None or seconds < SHORTEST else size * 8 / (seconds * bitrate) - 1


def promised(rung: Rung | TaskRung) -> int | None:
    """Return the bitrate, in bit/s, that the rung must come near to; ``None`` where it promises none."""
    return rung.encoding.bitrate if isinstance(rung, TaskRung) else None


def is_filled_up(rung: Rung | TaskRung) -> bool:
    """Tell whether the encoder fills a constant rate up, however little there is to see."""
    return isinstance(rung, TaskRung) and rung.encoding.rc_mode == "cbr" and rung.encoding.format in {"h264", "mpeg2"}


def in_two_passes(task: VideoTask) -> VideoTask | None:
    """Return the task with a first pass that finds out where the bits are needed; None where that would change nothing."""
    rungs = []
    for rung in task.rungs:
        if not isinstance(rung, TaskRung) or rung.encoding.bitrate is None or rung.encoding.rc_mode != "vbr":
            return None
        encoding = rung.encoding.model_copy(update={"rc_mode": "2passvbr"})
        rungs.append(rung.model_copy(update={"encoding": encoding}))
    return task.model_copy(update={"rungs": tuple(rungs)})
