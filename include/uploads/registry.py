"""Uploads as they are kept: read whole, changed a field at a time, so that no writer undoes another's work."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from include.errors import NotFound, StorageError
from include.media_store.uploads_table import UploadsTable
from include.uploads.models import (
    Destination,
    DestinationType,
    Joined,
    Landed,
    Outcome,
    Problem,
    Status,
    Upload,
    UploadPlan,
    UploadReference,
)

__all__ = ["Uploads", "new_upload_id"]

logger = logging.getLogger(__name__)

KEEP_SECONDS = 90 * 24 * 3600
_ATTEMPTS = 40
_PLAN = "plan"
_FIELDS: Mapping[str, type[BaseModel]] = {"landed": Landed, "joined": Joined, "outcome": Outcome}

Field = TypeVar("Field", bound=BaseModel)


def new_upload_id() -> str:
    """Return an id that is greater than those of earlier seconds: lists sort by it."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(5)}"


class Uploads:
    """The uploads in a table.

    Reading what is not there raises ``NotFound``; every method may raise ``StorageError``. A change reads the field, applies
    a function to it and writes the result if the field is still what was read, else begins again: concurrent changes of one
    field all take effect, and changes of different fields never meet.
    """

    def __init__(self, table: UploadsTable, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._clock = clock

    def create(self, atom_id: str, upload_id: str, plan: UploadPlan) -> Upload:
        """Keep a new upload."""
        expires_at = int(plan.created_at) + KEEP_SECONDS
        self._table.create(atom_id, upload_id, {_PLAN: plan.model_dump_json(exclude_defaults=True)}, expires_at)
        return _upload(atom_id, upload_id, {_PLAN: plan.model_dump_json()})

    def read(self, atom_id: str, upload_id: str, *, consistent: bool = True) -> Upload:
        """Return an upload; ``NotFound`` where there is none."""
        found = self._table.get(atom_id, upload_id, consistent=consistent)
        if found is None or _PLAN not in found:
            raise NotFound(f"There is no upload {upload_id} of the atom {atom_id}.")
        return _upload(atom_id, upload_id, found)

    def list(self, atom_id: str) -> list[Upload]:
        """Return all uploads of an atom, newest first; those of all clients. One that is damaged is passed over."""
        return list(_readable(atom_id, self._table.list(atom_id)))

    def set_destination(
        self,
        atom_id: str,
        upload_id: str,
        kind: DestinationType,
        *,
        status: Status,
        progress: float = 0.0,
        details: str | None = None,
        error: str | None = None,
    ) -> Destination:
        """Advance a destination as :meth:`Destination.advanced` does, and return what it is then."""
        return self._change_destination(
            atom_id, upload_id, kind, lambda now: now.advanced(status, progress, details=details, error=error)
        )

    def set_landed(self, upload: Upload, change: Callable[[Upload], Landed]) -> Upload:
        """Note which parts are there; ``change`` gets the upload with what was noted last."""
        landed = self._change(
            upload.atom_id,
            upload.id,
            "landed",
            Landed(),
            lambda now: change(upload.model_copy(update={"landed": now})),
        )
        return upload.model_copy(update={"landed": landed})

    def set_joined(self, upload: Upload, change: Callable[[Joined], Joined]) -> Joined:
        """Note how far the joining has come, and return it."""
        return self._change(upload.atom_id, upload.id, "joined", Joined(), change)

    def fail(self, reference: UploadReference, problem: Problem) -> Outcome:
        """Note that the upload fails as a whole, and why; the first reason stays."""
        failed = Outcome(state="failed", at=self._clock(), problem=problem)
        return self._decide(reference, lambda now: failed if now.state == "running" else now)

    def complete(self, reference: UploadReference) -> Outcome:
        """Note that the upload is complete at all its destinations, unless it was aborted."""
        complete = Outcome(state="complete", at=self._clock())
        return self._decide(reference, lambda now: now if now.state in {"aborted", "complete"} else complete)

    def abort(self, reference: UploadReference) -> Outcome:
        """Note that the client wants it no more, unless it is complete."""
        aborted = Outcome(state="aborted", at=self._clock())
        return self._decide(reference, lambda now: now if now.state in {"aborted", "complete"} else aborted)

    def reopen(self, reference: UploadReference) -> Outcome:
        """Forget the failures of an upload and of its destinations: somebody has started its run again."""
        again = Outcome(at=self._clock())
        outcome = self._decide(reference, lambda now: again if now.state == "failed" else now)
        if outcome.state == "running":
            for kind, at in self.read(reference.atom_id, reference.upload_id).at.items():
                if at != at.reopened():
                    self._change_destination(reference.atom_id, reference.upload_id, kind, Destination.reopened)
        return outcome

    def _change_destination(
        self, atom_id: str, upload_id: str, kind: DestinationType, change: Callable[[Destination], Destination]
    ) -> Destination:
        return self._change(atom_id, upload_id, _destination(kind), Destination(type=kind), change)

    def _decide(self, reference: UploadReference, change: Callable[[Outcome], Outcome]) -> Outcome:
        return self._change(reference.atom_id, reference.upload_id, "outcome", Outcome(), change)

    def _change(
        self,
        atom_id: str,
        upload_id: str,
        name: str,
        default: Field,
        change: Callable[[Field], Field],
    ) -> Field:
        # Writers that have met once wait for times that differ, so that they do not meet again.
        attempts = Retrying(
            retry=retry_if_exception_type(_Overtaken),
            wait=wait_random_exponential(multiplier=0.01, max=0.5),
            stop=stop_after_attempt(_ATTEMPTS),
        )
        try:
            changed: Field = attempts(self._change_once, atom_id, upload_id, name, default, change)
        except RetryError as error:
            raise StorageError(f"The upload {upload_id} is changed by too many writers at once; try again.") from error
        return changed

    def _change_once(self, atom_id: str, upload_id: str, name: str, default: Field, change: Callable[[Field], Field]) -> Field:
        found = self._table.get(atom_id, upload_id)
        if found is None:
            raise NotFound(f"There is no upload {upload_id} of the atom {atom_id}.")
        text = found.get(name)
        try:
            now = default if text is None else type(default).model_validate_json(text)
        except ValidationError as error:
            raise _damaged(upload_id) from error
        changed = change(now)
        if changed == now:
            return now
        if not self._table.replace(atom_id, upload_id, name, old=text, new=changed.model_dump_json(exclude_defaults=True)):
            raise _Overtaken
        return changed


class _Overtaken(Exception):
    """Another writer has changed the field since it was read."""


def _destination(kind: DestinationType) -> str:
    return f"destination_{kind}"


def _readable(atom_id: str, items: Iterable[tuple[str, Mapping[str, str]]]) -> Iterator[Upload]:
    for upload_id, found in items:
        if _PLAN not in found:
            continue
        try:
            yield _upload(atom_id, upload_id, found)
        except StorageError as error:
            logger.error("%s", error.message)  # noqa: TRY400


def _upload(atom_id: str, upload_id: str, found: Mapping[str, str]) -> Upload:
    try:
        plan = UploadPlan.model_validate_json(found[_PLAN])
        at = {
            kind: Destination.model_validate_json(found.get(_destination(kind)) or Destination(type=kind).model_dump_json())
            for kind in plan.destinations
        }
        fields: dict[str, BaseModel] = {
            name: model.model_validate_json(found[name]) for name, model in _FIELDS.items() if name in found
        }
    except ValidationError as error:
        raise _damaged(upload_id) from error
    return Upload.model_validate(dict(plan) | fields | {"atom_id": atom_id, "id": upload_id, "at": at})


def _damaged(upload_id: str) -> StorageError:
    return StorageError(f"The upload {upload_id} is damaged in the table, or of another version of Reelflow.")
