"""Whether a finished stream holds the packets of the file that its unit has made, each at its time."""

from __future__ import annotations

from fractions import Fraction

from include.errors import VerificationFailed
from include.ffmpeg_ops.rendition import Stream

__all__ = ["check_part", "length_of"]

# Containers without a clock of their own for sound round its times, FLV to milliseconds.
SLACK = Fraction(3, 1000)
ADTS_HEADER = 7


def check_part(where: str, stream: Stream, part: Stream, zero: Fraction) -> None:
    """Compare ``stream`` with ``part``, whose own zero (the first sample heard) is due at ``zero`` seconds.

    Raises :class:`VerificationFailed`.
    """
    count = len(part.pts)
    # In a transport stream every packet of AAC has a header of its own (ADTS).
    headers = {0, ADTS_HEADER * count} if part.information.get("codec_name") == "aac" else {0}
    if len(stream.pts) != count or stream.size - part.size not in headers:
        raise VerificationFailed(f"{where} has {len(stream.pts)} packets of {stream.size} bytes, expected {count} of {part.size}")
    for pts, position, planned in zip(stream.pts, stream.positions, part.pts, strict=True):
        late = pts * stream.time_base - zero - planned * part.time_base
        if position >= 0 and abs(late) > SLACK:
            raise VerificationFailed(
                f"{where} is {abs(float(late)) * 1000:.1f} ms too {'late' if late > 0 else 'early'} beside the video "
                f"at {float(planned * part.time_base):.3f} s"
            )


def length_of(part: Stream) -> Fraction:
    """Return the seconds from the first packet to the end of the last."""
    return (part.pts[-1] + part.last_duration - part.pts[0]) * part.time_base
