"""Puts a finished package where clients look for it, so that nobody ever sees half of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from include.errors import InternalError, StorageError
from include.media_store.content_types import content_type_for
from include.media_store.lookup import current
from include.media_store.models import ObjectRef
from include.worker.models import Output
from include.worker.work import in_parallel
from include.worker.workbench import Workbench

__all__ = ["Destination", "publish"]


@dataclass(frozen=True)
class Destination:
    """Where a package goes: its files lie in ``out_dir`` under the names that they get in ``folder``.

    The entry has the key ``entry_key`` where that is said.
    """

    bucket: str
    folder: str
    out_dir: Path
    files: tuple[str, ...]
    entry: str
    entry_key: str = ""

    def key_of(self, file: str) -> str:
        """Return the object key of one of the files."""
        return self.entry_key if self.entry_key and file == self.entry else f"{self.folder}{file}"


def publish(workbench: Workbench, destinations: Mapping[str, Destination]) -> tuple[Output, ...]:
    """Upload every destination's files, the entries last of all; return them, each by the destination's name and its own.

    An entry's existence is the promise that everything it refers to is there. An older entry is deleted first: it would
    else refer, for a while, to a mixture of old files and new ones. Raises ``StorageError`` where what arrived is not what
    was sent; then there is no entry.
    """
    for place in destinations.values():
        if place.entry not in place.files:
            raise InternalError(f"The package does not hold its own entry {place.entry}.")
    others = [(name, file) for name, place in destinations.items() for file in place.files if file != place.entry]
    size = sum((place.out_dir / file).stat().st_size for place in destinations.values() for file in place.files)

    def upload(item: tuple[str, str]) -> ObjectRef:
        place, file = destinations[item[0]], item[1]
        ref = workbench.store.upload(place.out_dir / file, place.bucket, place.key_of(file), content_type_for(file))
        workbench.progress.advance(ref.size)
        return ref

    with workbench.phase("upload", size, "bytes"):
        for place in destinations.values():
            workbench.store.delete(place.bucket, place.key_of(place.entry))
        refs = list(in_parallel(upload, others, workbench.check))
        _check_arrived(workbench, refs)
        workbench.check()
        last = [(name, place.entry) for name, place in destinations.items()]
        refs += [upload(item) for item in last]
    return tuple(Output(name=f"{name}{file}", ref=ref) for (name, file), ref in zip([*others, *last], refs, strict=True))


def _check_arrived(workbench: Workbench, refs: Sequence[ObjectRef]) -> None:
    # Another writer in the same folder would show here, too.
    there = current(workbench.store, refs)
    for ref in refs:
        found = there.get((ref.bucket, ref.key))
        if found != ref:
            state = "is missing" if found is None else f"has {found.size} bytes and ETag {found.etag}"
            raise StorageError(f"{ref.uri} was uploaded with {ref.size} bytes and ETag {ref.etag}, but {state}.")
