"""The bytes of an upload, wherever they are: in its parts, and later in the file that these were joined into."""

from __future__ import annotations

import json

from include.errors import InvalidInputData, NotFound, StorageError
from include.media_store.objects import ObjectStore
from include.media_store.ranges import RangeReader
from include.uploads.models import Upload

__all__ = ["UploadContent"]


class UploadContent:
    """Reads ranges of one upload and tells which versions of the parts they are of; ``bucket`` is that of joined files."""

    def __init__(self, store: ObjectStore, reader: RangeReader, bucket: str) -> None:
        self._store, self._reader, self._bucket = store, reader, bucket
        self._joined: list[str] | None = None

    def read(self, upload: Upload, first: int, length: int, tag: str = "") -> tuple[bytes, str]:
        """Return ``length`` bytes from ``first`` on, all of one part, and that part's ETag.

        With ``tag`` only the part of that ETag is read: ``InvalidInputData`` where another one has taken its place.
        """
        part = upload.part(first // upload.part_size)
        if first + length > part.end:
            raise ValueError(f"bytes {first} to {first + length} are not of one part")
        if not upload.joined.done:
            try:
                return self._reader.read(upload.bucket, part.key, first=first - part.start, length=length, etag=tag)
            except NotFound:
                # It was there, and will be again, or the upload fails.
                raise StorageError(f"Part {part.n} of upload {upload.id} is not there any more.") from None
        joined = self.tags(upload)[part.n]
        if tag not in ("", joined):
            raise InvalidInputData(f"Part {part.n} was replaced before the parts were joined.")
        # A part may have been replaced since, or be gone.
        data, _ = self._reader.read(self._bucket, upload.reference.full_key, first=first, length=length)
        return data, joined

    def tags(self, upload: Upload) -> list[str]:
        """Return the ETags of all parts of an upload whose parts were joined, as they were then."""
        if self._joined is None:
            self._joined = self._read_tags(upload)
        return self._joined

    def _read_tags(self, upload: Upload) -> list[str]:
        try:
            tags = json.loads(self._store.get_bytes(self._bucket, upload.reference.tags_key))
        except NotFound:
            raise StorageError(f"The list of the joined parts of upload {upload.id} is missing.") from None
        if not isinstance(tags, list) or len(tags) != upload.part_count:
            raise StorageError(f"The list of the joined parts of upload {upload.id} is damaged.")
        return [str(tag) for tag in tags]
