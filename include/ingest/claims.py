"""Which objects are dealt with: a document each, made by a conditional write, so that one of many dispatchers wins."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import ValidationError

from include.errors import NotFound, ObjectExists
from include.ingest.models import Claim

if TYPE_CHECKING:
    from include.ingest.place import Ingest
    from include.media_store.objects import ObjectStore
    from include.settings import Settings

__all__ = ["Claims", "room"]

logger = logging.getLogger(__name__)


class _Place(Protocol):
    @property
    def settings(self) -> Settings: ...

    @property
    def store(self) -> ObjectStore: ...


class Claims:
    """The claims of one bucket: ``<work_prefix>ingest/open/`` while their runs are at work, ``…/settled/`` afterwards.

    Where both documents of a claim are there (a settling or a second try was interrupted), the open one is believed.
    """

    def __init__(self, place: _Place) -> None:
        self._store = place.store
        self._bucket = place.settings.bucket
        prefix = f"{place.settings.work_prefix}ingest/"
        self.open_prefix, self.settled_prefix = f"{prefix}open/", f"{prefix}settled/"

    def open_key(self, claim_id: str) -> str:
        """Key of a claim whose run is at work."""
        return f"{self.open_prefix}{claim_id}.json"

    def settled_key(self, claim_id: str) -> str:
        """Key of a claim whose object is done with."""
        return f"{self.settled_prefix}{claim_id}.json"

    def take(self, claim: Claim) -> bool:
        """Make the claim; ``False`` where somebody else has made it."""
        try:
            self._write(self.open_key(claim.id), claim, new=True)
        except ObjectExists:
            return False
        return True

    def reopen(self, claim: Claim) -> None:
        """Make a claim anew that was settled."""
        self._write(self.open_key(claim.id), claim)
        self._store.delete(self._bucket, self.settled_key(claim.id))

    def settle(
        self, claim: Claim, state: Literal["done", "failed", "refused", "gone"], error: dict[str, Any] | None = None
    ) -> Claim:
        """Write down what became of the claim, which makes room for another; may be repeated."""
        now = datetime.now(timezone.utc).replace(microsecond=0)
        settled = claim.model_copy(update={"state": state, "settled_at": now, "error": error})
        self._write(self.settled_key(claim.id), settled)
        self._store.delete(self._bucket, self.open_key(claim.id))
        return settled

    def forget(self, claim: Claim) -> None:
        """Let the object be claimed as if it had never been."""
        for key in (self.settled_key(claim.id), self.open_key(claim.id)):
            self._store.delete(self._bucket, key)

    def find(self, claim_id: str) -> Claim | None:
        """Return a claim, open or settled; ``None`` where there is none."""
        return self._read(self.open_key(claim_id)) or self._read(self.settled_key(claim_id))

    def open_ids(self) -> set[str]:
        """Return the ids of the claims whose runs are at work."""
        keys = (ref.key for ref in self._store.list(self._bucket, self.open_prefix))
        return {key.removeprefix(self.open_prefix).removesuffix(".json") for key in keys}

    def open_claims(self) -> Iterator[Claim]:
        """Yield the claims whose runs are at work."""
        for claim_id in sorted(self.open_ids()):
            claim = self._read(self.open_key(claim_id))
            if claim is not None:
                yield claim

    def _read(self, key: str) -> Claim | None:
        try:
            return Claim.model_validate_json(self._store.get_bytes(self._bucket, key))
        except NotFound:
            return None
        except ValidationError as error:
            # Rather a second look at the object than one that nobody ever takes.
            logger.warning("%s is damaged and counts as absent: %s", key, error)
            self._store.delete(self._bucket, key)
            return None

    def _write(self, key: str, claim: Claim, *, new: bool = False) -> None:
        data = claim.model_dump_json(indent=1).encode()
        self._store.put_bytes(self._bucket, key, data, if_none_match=new)


def room(ingest: Ingest) -> int:
    """Return how many more runs of dropped objects may be started now; one listing, of few objects."""
    return max(0, ingest.settings.ingest_active - len(Claims(ingest).open_ids()))
