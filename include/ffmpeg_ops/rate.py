"""Finds the exact frame rate in a list of timestamps that a container has rounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

__all__ = ["constant_rate"]

_NTSC = [Fraction(1000 * n, 1001) for n in (12, 15, 24, 30, 48, 60, 90, 120, 240)]
_WHOLE = [Fraction(n) for n in (5, 8, 10, 12, 15, 16, 18, 20, 24, 25, 30, 48, 50, 60, 72, 90, 100, 120, 144, 240)]
STANDARD = sorted([*_NTSC, *_WHOLE, Fraction(25, 2)])

# Containers round to their tick; remuxing from one of milliseconds leaves that jitter in a finer time base.
MILLISECOND = Fraction(1, 1000)
# An encoder's time base is 1/rate, and MP4 keeps its denominator in 32 bits; nothing above this is a real frame rate.
LARGEST_NUMERATOR = 1_000_000


def constant_rate(
    pts: Sequence[int], time_base: Fraction, duration: int, told: Iterable[Fraction | None] = ()
) -> Fraction | None:
    """Return the rate r for which every PTS lies where ``start + n/r`` would be rounded to, or None: the rate varies.

    Some tick or a millisecond of rounding is allowed for, but never more than a quarter of a frame. ``told`` are rates that
    the container claims, most trusted first; ``duration`` is the last frame's, the only hint for a single frame.
    """
    if len(pts) == 1:
        pts = [pts[0], pts[0] + duration]
    fits = [(rate, _spread(pts, time_base, rate)) for rate in _candidates(pts, time_base, told)]
    allowed = [(rate, spread) for rate, spread in fits if spread <= _tolerance(time_base, rate)]
    exact = [rate for rate, spread in allowed if spread == 0]
    return next(iter(exact or [rate for rate, _ in allowed]), None)


def _tolerance(time_base: Fraction, rate: Fraction) -> Fraction:
    return min(max(time_base, MILLISECOND) * Fraction(21, 20), 1 / (4 * rate))


def _candidates(pts: Sequence[int], time_base: Fraction, told: Iterable[Fraction | None]) -> Iterator[Fraction]:
    span = (pts[-1] - pts[0]) * time_base
    average = (len(pts) - 1) / span
    # One tick more or less over the whole stream: every other rate is out from the start.
    slack = 2 * max(time_base, MILLISECOND) / span
    computed = [average.limit_denominator(1), average.limit_denominator(1001), average]
    seen = set()
    claimed = [rate for rate in told if rate]
    # A container's claim is itself computed from rounded times unless it is one of the rates that exist.
    for rate in [*(rate for rate in claimed if rate in STANDARD), *STANDARD, *claimed, *computed]:
        if rate not in seen and abs(rate / average - 1) <= slack and rate.numerator <= LARGEST_NUMERATOR:
            seen.add(rate)
            yield rate


def _spread(pts: Sequence[int], time_base: Fraction, rate: Fraction) -> Fraction:
    """Return by how much the frames' distances from ``n/rate`` differ, in seconds."""
    # In units of time_base.numerator / (time_base.denominator * rate.numerator), all is whole numbers: fast and exact.
    tick = time_base.numerator * rate.numerator
    step = rate.denominator * time_base.denominator
    offsets = [value * tick - number * step for number, value in enumerate(pts)]
    return Fraction(max(offsets) - min(offsets), time_base.denominator * rate.numerator)
