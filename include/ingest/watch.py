"""Looks for dropped objects that nobody has dealt with: listings only, as long as there are none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from include.ingest.candidates import is_candidate, sidecar_keys
from include.ingest.claims import Claims
from include.ingest.models import Dropped
from include.ingest.reconcile import is_overdue

if TYPE_CHECKING:
    from include.ingest.place import Ingest
    from include.media_store.inbox import Listed

__all__ = ["Sight", "Watch"]

RECONCILE_SECONDS = 60.0
# What was told of and is there again is told of again after so long, then twice as long each time.
AGAIN_SECONDS, LONGEST_SECONDS = 15.0, 600.0
# With more objects than this the claims are listed once, and not looked up one by one.
MANY = 100


@dataclass(frozen=True)
class Sight:
    """What there is to do."""

    dropped: tuple[Dropped, ...] = ()
    overdue: bool = False
    backlog: int | None = None  # how many more wait for their turn, where all were looked at

    def __bool__(self) -> bool:
        return self.overdue or bool(self.dropped)


@dataclass
class _Told:
    times: int
    at: float


class Watch:
    """The looks of one process, one after the other: an object counts once two looks have found the same version of it.

    A look costs a listing of the open claims and, while there is room for more, one of each folder.
    """

    def __init__(self, ingest: Ingest, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ingest = ingest
        self._claims = Claims(ingest)
        self._clock = clock
        self._seen: dict[str, str] = {}  # key: ETag at the last look
        self._settled: dict[str, datetime] = {}  # claim id: when it was settled, by the store's clock
        self._told: dict[str, _Told] = {}  # claim id
        self._knows_claims = False
        self._reconciled_at = float("-inf")

    def look(self, state_of: Callable[[str, str], str | None]) -> Sight:
        """Return what there is to do now; raises as the object store and ``state_of`` do."""
        open_ids = self._claims.open_ids()
        overdue = self._is_overdue(bool(open_ids), state_of)
        active = self._ingest.settings.ingest_active
        room = active - len(open_ids)
        if room <= 0:
            return Sight(overdue=overdue)
        new, backlog = self._new(room, open_ids)
        # A few runs of a backlog at a time: each of these sights costs a task that starts them.
        if backlog and room < active // 4:
            return Sight(overdue=overdue, backlog=len(new) + backlog)
        now = self._clock()
        for one in new:
            self._told[one.claim_id] = _Told(self._told[one.claim_id].times + 1 if one.claim_id in self._told else 0, now)
        return Sight(new, overdue, backlog)

    def _new(self, room: int, open_ids: set[str]) -> tuple[tuple[Dropped, ...], int]:
        """Return the objects that there is room for, and how many more there are."""
        listed = {one.ref.key: one for prefix in self._ingest.settings.ingest_prefixes for one in self._list(prefix)}
        ready = [one for one in self._ready(listed) if one.claim_id not in open_ids]
        known = {Dropped(one.ref.bucket, key, one.ref.etag).claim_id for key, one in listed.items()}
        self._settled = {claim_id: at for claim_id, at in self._settled.items() if claim_id in known}
        self._told = {claim_id: told for claim_id, told in self._told.items() if claim_id in known}
        if not self._knows_claims and len(ready) > MANY:
            self._settled |= {id_: at for id_, at in self._list_settled() if id_ in known}
            self._knows_claims = True
        found: list[Dropped] = []
        more = 0
        for one in ready:
            # One more than there is room for is looked up; of the rest only those count as settled that are known to be.
            if (one.claim_id in self._settled or not more) and self._is_settled(one, listed):
                continue
            if len(found) < room:
                found.append(one)
            else:
                more += 1
        return tuple(found), more

    def _ready(self, listed: Mapping[str, Listed]) -> list[Dropped]:
        """Return the objects that have not changed since the last look, and for long enough, oldest first."""
        settings, last = self._ingest.settings, self._seen
        self._seen = {key: one.ref.etag for key, one in listed.items() if is_candidate(settings, one.ref.bucket, key)}
        ready = [
            Dropped(one.ref.bucket, one.ref.key, one.ref.etag, one.ref.size, one.modified_at)
            for key, one in listed.items()
            if last.get(key) == self._seen.get(key) == one.ref.etag and one.age >= settings.ingest_settle_seconds
        ]
        now = self._clock()
        return sorted((one for one in ready if not self._is_told(one.claim_id, now)), key=lambda one: (one.modified_at, one.key))

    def _is_told(self, claim_id: str, now: float) -> bool:
        told = self._told.get(claim_id)
        return told is not None and now < told.at + min(LONGEST_SECONDS, AGAIN_SECONDS * 2**told.times)

    def _is_settled(self, one: Dropped, listed: Mapping[str, Listed]) -> bool:
        """Tell whether the object was dealt with, and neither it nor its sidecar was written since."""
        sidecar = next((listed[key] for key in sidecar_keys(one.key) if key in listed), listed[one.key])
        written = max(listed[one.key].modified_at, sidecar.modified_at)
        at = self._settled.get(one.claim_id)
        if at is None or written > at:
            claim = self._ingest.inbox.head(one.bucket, self._claims.settled_key(one.claim_id))
            if claim is None:
                return False
            at = self._settled[one.claim_id] = claim.modified_at
        return written <= at

    def _is_overdue(self, has_open: bool, state_of: Callable[[str, str], str | None]) -> bool:
        now = self._clock()
        if not has_open or now - self._reconciled_at < RECONCILE_SECONDS:
            return False
        self._reconciled_at = now
        return is_overdue(self._ingest, state_of)

    def _list(self, prefix: str) -> Iterable[Listed]:
        return self._ingest.inbox.list(self._ingest.settings.bucket, prefix)

    def _list_settled(self) -> Iterable[tuple[str, datetime]]:
        for one in self._list(self._claims.settled_prefix):
            yield one.ref.key.removeprefix(self._claims.settled_prefix).removesuffix(".json"), one.modified_at
