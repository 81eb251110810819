"""Looks up many objects by their keys, with as few requests as it takes and no listing of what is not asked for."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from include.media_store.models import ObjectRef

if TYPE_CHECKING:
    from include.media_store.objects import ObjectStore

__all__ = ["current"]

_HEADS = 4  # objects of a folder up to this many are looked up one by one, more of them with a listing


def current(store: ObjectStore, refs: Collection[ObjectRef]) -> dict[tuple[str, str], ObjectRef]:
    """Return what there is now at the keys of ``refs``, by bucket and key."""
    folders: dict[tuple[str, str], list[str]] = {}
    for ref in refs:
        folders.setdefault((ref.bucket, ref.key.rpartition("/")[0]), []).append(ref.key)
    found: dict[tuple[str, str], ObjectRef] = {}
    for (bucket, _), keys in folders.items():
        prefix = os.path.commonprefix(keys)  # noqa: RUF071 - keys are text
        if len(keys) <= _HEADS or not prefix:
            there = [ref for ref in (store.head(bucket, key) for key in keys) if ref is not None]
        else:
            wanted = set(keys)
            there = [ref for ref in store.list(bucket, prefix) if ref.key in wanted]
        found |= {(ref.bucket, ref.key): ref for ref in there}
    return found
