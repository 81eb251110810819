"""Puts a finished package where clients look for it, so that nobody ever sees half of one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from include.errors import InternalError, StorageError
from include.media_store.models import ObjectRef
from include.worker.models import Output
from include.worker.work import in_parallel
from include.worker.workbench import Workbench

__all__ = ["publish"]


def publish(
    workbench: Workbench, out_dir: Path, *, bucket: str, folder: str, files: Sequence[str], entry: str
) -> tuple[Output, ...]:
    """Upload ``files`` (relative to ``out_dir``) under the key ``folder``, the entry last, and return them in that order.

    The entry's existence is the promise that everything it refers to is there. An older entry is deleted first: it would
    else refer, for a while, to a mixture of old files and new ones. Raises ``StorageError`` where what arrived is not what
    was sent; then there is no entry.
    """
    if entry not in files:
        raise InternalError(f"The package does not hold its own entry {entry}.")
    others = [file for file in files if file != entry]
    sizes = {file: (out_dir / file).stat().st_size for file in files}

    def upload(file: str) -> ObjectRef:
        ref = workbench.store.upload(out_dir / file, bucket, f"{folder}{file}")
        workbench.progress.advance(ref.size)
        return ref

    with workbench.phase("upload", sum(sizes.values()), "bytes"):
        workbench.store.delete(bucket, f"{folder}{entry}")
        refs = in_parallel(upload, others, workbench.check)
        _check_arrived(workbench, bucket, refs)
        workbench.check()
        refs = [*refs, upload(entry)]
    return tuple(Output(name=file, ref=ref) for file, ref in zip([*others, entry], refs, strict=True))


def _check_arrived(workbench: Workbench, bucket: str, refs: Sequence[ObjectRef]) -> None:
    # Another writer in the same folder would show here, too. What else lies beside a single file is not looked at.
    prefix = os.path.commonprefix([ref.key for ref in refs]) if refs else None  # noqa: RUF071 - keys are text
    there = {ref.key: ref for ref in workbench.store.list(bucket, prefix)} if prefix is not None else {}
    for ref in refs:
        found = there.get(ref.key)
        if found != ref:
            state = "is missing" if found is None else f"has {found.size} bytes and ETag {found.etag}"
            raise StorageError(f"{ref.uri} was uploaded with {ref.size} bytes and ETag {ref.etag}, but {state}.")
