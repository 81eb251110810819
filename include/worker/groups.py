"""Units that AWS Batch gets as one array job."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from include.settings import Settings
from include.worker.models import UnitSummary

__all__ = ["grouped", "kind_of", "weights_of"]

_KINDS = {"segment": "upscale"}


def kind_of(unit_id: str) -> str:
    """Return the kind of the unit with this id."""
    name = unit_id.partition("-")[0]
    return _KINDS.get(name, name)


def grouped(units: Sequence[UnitSummary], settings: Settings) -> list[tuple[UnitSummary, ...]]:
    """Return the units as mapped tasks get them: one each, or up to ``MEDIA_BATCH_ARRAY_SIZE`` of a kind that goes to Batch."""
    size = settings.batch_array_size
    groups: list[tuple[UnitSummary, ...]] = []
    for kind, same in groupby(units, key=lambda unit: kind_of(unit.id)):
        members = tuple(same)
        step = size if size > 1 and kind in settings.batch_units else 1
        groups += [members[start : start + step] for start in range(0, len(members), step)]
    return groups


def weights_of(units: Sequence[UnitSummary], settings: Settings) -> tuple[float, ...]:
    """Return the weight of each of the mapped tasks of these units."""
    return tuple(sum(unit.weight for unit in group) for group in grouped(units, settings))
