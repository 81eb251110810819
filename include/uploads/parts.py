"""How a file is divided, and which of its parts are there: pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from include.errors import LimitExceeded
from include.uploads.models import Landed, Upload

__all__ = ["first_missing", "landed", "landed_one", "part_number", "part_size"]

MOST_PARTS = 10_000
GRAIN = 256 * 2**10  # YouTube takes nothing else but for a file's end
LARGEST = 5 * 2**30
SHOWN_ERRORS = 100
_KEY = re.compile(r"uploads/([A-Za-z0-9_-]{1,64})/([0-9a-z]{1,32})/parts/(0|[1-9][0-9]{0,4})")


def part_size(size: int, wanted: int) -> int:
    """Return the part size of a file of ``size`` bytes: ``wanted``, or the least multiple of 256 KiB that gives 10,000 parts.

    Raises :class:`LimitExceeded` for a file that S3 cannot take in so many parts.
    """
    least = -(-size // MOST_PARTS)
    chosen = max(wanted, -(-least // GRAIN) * GRAIN)
    if chosen > LARGEST:
        raise LimitExceeded(f"size: {size} bytes are more than S3 takes in {MOST_PARTS} parts.")
    return chosen


def part_number(key: str) -> tuple[str, str, int] | None:
    """Return atom, upload and part number that an object's key names, or ``None`` for a key of something else."""
    found = _KEY.fullmatch(key)
    return (found[1], found[2], int(found[3])) if found else None


def landed(upload: Upload, sizes: Mapping[int, int], now: float, newer: frozenset[int] = frozenset()) -> Landed:
    """Return what of ``upload`` is there when these are the sizes of all objects that bear a part's number.

    The parts ``newer`` are complete whatever the sizes tell of them.
    """
    before = upload.landed
    complete, errors = set(newer), dict[int, str]()
    for n, size in sizes.items():
        if n >= upload.part_count or n in newer:
            continue
        if size == upload.part(n).size:
            complete.add(n)
        elif len(errors) < SHOWN_ERRORS:
            errors[n] = _wrong_size(upload, n, size)
    state = Landed(complete=frozenset(complete), errors=errors, changed_at=before.changed_at)
    return state if state == before else state.model_copy(update={"changed_at": now})


def landed_one(upload: Upload, n: int, size: int | None, now: float) -> Landed:
    """Return what is there when the object of part ``n`` has this size, or is absent, and the others are as they were."""
    before = upload.landed
    if not 0 <= n < upload.part_count:
        return before
    complete = before.complete | {n} if size == upload.part(n).size else before.complete - {n}
    errors = {number: text for number, text in before.errors.items() if number != n}
    if size is not None and n not in complete and len(errors) < SHOWN_ERRORS:
        errors[n] = _wrong_size(upload, n, size)
    state = Landed(complete=complete, errors=errors, changed_at=before.changed_at)
    return state if state == before else state.model_copy(update={"changed_at": now})


def first_missing(upload: Upload) -> int | None:
    """Return the first part that is not there, or ``None``."""
    return next((n for n in range(upload.part_count) if n not in upload.landed.complete), None)


def _wrong_size(upload: Upload, n: int, size: int) -> str:
    return f"Part {n} has {size} bytes instead of {upload.part(n).size}; send it again."
