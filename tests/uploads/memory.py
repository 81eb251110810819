"""A table of uploads in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from include.errors import ObjectExists
from include.uploads.models import Upload, UploadPlan
from include.uploads.registry import Uploads, new_upload_id

__all__ = ["MemoryTable", "a_plan", "an_upload"]


class MemoryTable:
    """An :class:`include.media_store.uploads_table.UploadsTable`."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], dict[str, str]] = {}
        self._lock = threading.Lock()

    def create(self, atom_id: str, upload_id: str, attributes: Mapping[str, str], expires_at: int) -> None:
        if (atom_id, upload_id) in self.items:
            raise ObjectExists("there already")
        self.items[atom_id, upload_id] = dict(attributes)

    def get(self, atom_id: str, upload_id: str, *, consistent: bool = True) -> dict[str, str] | None:
        found = self.items.get((atom_id, upload_id))
        return None if found is None else dict(found)

    def list(self, atom_id: str) -> list[tuple[str, dict[str, str]]]:
        return sorted(((key[1], dict(item)) for key, item in self.items.items() if key[0] == atom_id), reverse=True)

    def replace(self, atom_id: str, upload_id: str, name: str, *, old: str | None, new: str) -> bool:
        with self._lock:
            item = self.items.get((atom_id, upload_id))
            if item is None or item.get(name) != old:
                return False
            item[name] = new
            return True


def a_plan(size: int = 11 * 2**20, part_size: int = 5 * 2**20, **changes: object) -> UploadPlan:
    fields = {
        "client": "ours", "filename": "clip.mp4", "size": size, "part_size": part_size, "destinations": ("s3Bucket",),
        "bucket": "media", "region": "us-east-1", "created_at": 1000.0, "title": "clip",
    }  # fmt: skip
    return UploadPlan.model_validate(fields | changes)


def an_upload(uploads: Uploads, atom_id: str = "atom", **changes: object) -> Upload:
    return uploads.create(atom_id, new_upload_id(), a_plan(**changes))  # type: ignore[arg-type]
