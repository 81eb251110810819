"""The exact rate behind rounded timestamps."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from include.ffmpeg_ops.rate import STANDARD, constant_rate


def stamps(rate: Fraction, time_base: Fraction, frames: int, start: Fraction = Fraction(0)) -> list[int]:
    return [round((start + n / rate) / time_base) for n in range(frames)]


@pytest.mark.parametrize("rate", STANDARD, ids=str)
@pytest.mark.parametrize(
    "time_base", [Fraction(1, 1000), Fraction(1, 90000), Fraction(1, 12800), Fraction(1, 600), Fraction(1, 10**9)], ids=str
)
def test_standard_rates_survive_rounding_of_any_start(rate: Fraction, time_base: Fraction) -> None:
    if time_base > 1 / (4 * rate):
        pytest.skip("the tick is too coarse for this rate")
    for start in (Fraction(0), Fraction(21, 1000), Fraction(1, 7), Fraction(1234567, 90001)):
        assert constant_rate(stamps(rate, time_base, 2000, start), time_base, 0) == rate


def test_what_the_container_claims_from_rounded_times_is_not_believed_over_a_real_rate() -> None:
    pts = stamps(Fraction(60000, 1001), Fraction(1, 1000), 300)
    assert constant_rate(pts, Fraction(1, 1000), 16, [Fraction(19001, 317)]) == Fraction(60000, 1001)


def test_an_odd_rate_is_found_from_exact_ticks() -> None:
    assert constant_rate([0, 1234, 2468, 3702], Fraction(1, 90000), 1234) == Fraction(90000, 1234)


def test_29_97_is_not_rounded_to_30() -> None:
    assert constant_rate(
        stamps(Fraction(30000, 1001), Fraction(1, 30000), 3), Fraction(1, 30000), 1001, [Fraction(30)]
    ) == Fraction(30000, 1001)


@pytest.mark.parametrize(
    "pts",
    [
        [0, 40, 80, 160, 200],
        [0, 40, 85, 120, 160],
        [0, 16, 116, 150, 170],
    ],
    ids=["a frame missing", "5 ms of jitter", "phone"],
)
def test_gaps_and_jitter_make_the_rate_variable(pts: list[int]) -> None:
    assert constant_rate(pts, Fraction(1, 1000), 40, [Fraction(25)]) is None


def test_jitter_of_a_millisecond_in_fine_ticks_is_rounding_of_an_earlier_container() -> None:
    random.seed(1)
    pts = [n * 3600 + random.randint(-45, 44) for n in range(1000)]
    assert constant_rate(pts, Fraction(1, 90000), 3600) == 25


def test_a_slow_drift_is_no_constant_rate() -> None:
    pts = [n * 3600 + (n * n) // 2000 for n in range(1000)]
    assert constant_rate(pts, Fraction(1, 90000), 3600, [Fraction(25)]) is None


@pytest.mark.parametrize(("duration", "rate"), [(3600, Fraction(25)), (3003, Fraction(30000, 1001)), (450000, Fraction(1, 5))])
def test_a_single_frame_has_the_rate_of_its_duration(duration: int, rate: Fraction) -> None:
    assert constant_rate([7], Fraction(1, 90000), duration) == rate


def test_two_frames_have_the_rate_of_their_distance() -> None:
    assert constant_rate([0, 512], Fraction(1, 12800), 512) == 25
