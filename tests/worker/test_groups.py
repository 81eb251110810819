"""Units as mapped tasks get them."""

from __future__ import annotations

import pytest

from include.settings import Settings
from include.worker.groups import grouped, kind_of
from include.worker.models import UnitSummary


def units(*ids: str) -> list[UnitSummary]:
    return [UnitSummary(id=one, key=f"k/{one}", label=one, weight=1) for one in ids]


@pytest.mark.parametrize(
    ("unit_id", "kind"), [("audio", "audio"), ("video-00001", "video"), ("segment-00001", "upscale"), ("plan", "plan")]
)
def test_the_id_of_a_unit_tells_its_kind(unit_id: str, kind: str) -> None:
    assert kind_of(unit_id) == kind


@pytest.mark.parametrize(
    ("size", "batch_units", "sizes"),
    [
        (0, "video,audio", [1, 1, 1, 1, 1, 1]),
        (1, "video,audio", [1, 1, 1, 1, 1, 1]),
        (2, "video,audio", [1, 2, 2, 1]),
        (100, "video", [1, 5]),
        (100, "upscale", [1, 1, 1, 1, 1, 1]),
    ],
)
def test_only_units_of_one_kind_that_go_to_batch_are_grouped(size: int, batch_units: str, sizes: list[int]) -> None:
    planned = units("audio", *(f"video-{n:05d}" for n in range(5)))
    groups = grouped(planned, Settings(_env_file=None, batch_array_size=size, batch_units=batch_units))
    assert [len(group) for group in groups] == sizes
    assert [unit for group in groups for unit in group] == planned
