"""Joins the parts of an upload into one file, inside S3, and checks that it is the file that was announced."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from include.errors import Cancelled, InternalError, InvalidInputData, ObjectExists, VerificationFailed
from include.media_store.models import ObjectRef
from include.media_store.multipart import S3Copies
from include.media_store.objects import ObjectStore
from include.uploads.models import Upload
from include.uploads.parts import part_number
from include.uploads.registry import Uploads

__all__ = ["Joiner", "part_objects"]

logger = logging.getLogger(__name__)

AT_ONCE = 8

Tell = Callable[[str, int, int], None]


def part_objects(store: ObjectStore, upload: Upload) -> dict[int, ObjectRef]:
    """Return the objects that bear a part's number, whatever their size."""
    found: dict[int, ObjectRef] = {}
    for ref in store.list(upload.bucket, upload.reference.parts_prefix):
        named = part_number(ref.key)
        if named is not None:
            found[named[2]] = ref
    return found


class Joiner:
    """Makes ``full`` of an upload's parts in ``bucket``, however often it is killed meanwhile.

    ``tell`` hears what is done: a word, and how much of how much. What it raises ends the work.
    """

    def __init__(self, uploads: Uploads, store: ObjectStore, copies: S3Copies, bucket: str, tell: Tell) -> None:
        self._uploads = uploads
        self._store = store
        self._copies = copies
        self._bucket = bucket
        self._tell = tell

    def join(self, upload: Upload) -> ObjectRef:
        """Return the joined file, which is there and checked.

        Raises ``Cancelled`` where the upload was aborted meanwhile, ``InvalidInputData`` where parts are missing or the file
        has another SHA-256 than was announced; what may be tried again (``StorageError``, ``VerificationFailed``) goes on
        where it was.
        """
        key = upload.reference.full_key
        full = self._store.head(self._bucket, key)
        if full is not None and upload.joined.done and full.etag == upload.joined.etag:
            return full
        # A file of the right size is one that was made and not noted: nobody else writes this key.
        if full is None or full.size != upload.size:
            if full is not None:
                self._store.delete(self._bucket, key)
            full = self._make(upload)
        self._remove_unwanted(upload)
        self._check(upload, full)
        self._uploads.set_joined(upload, lambda now: now.model_copy(update={"done": True, "etag": full.etag}))
        return full

    def _remove_unwanted(self, upload: Upload) -> None:
        """Remove the file of an upload that was aborted before the file was there: who has aborted it has not seen it."""
        if self._uploads.read(upload.atom_id, upload.id).outcome.state != "aborted":
            return
        for key in (upload.reference.full_key, upload.reference.tags_key):
            self._store.delete(self._bucket, key)
        raise Cancelled("The upload was aborted.")

    def _make(self, upload: Upload) -> ObjectRef:
        key = upload.reference.full_key
        parts = self._parts(upload)
        try:
            if len(parts) == 1:
                self._note_tags(upload, parts)
                self._copies.copy(parts[0], self._bucket, key)
            else:
                self._copy(upload, parts)
        except ObjectExists:
            logger.info("%s was made by another attempt", key)
        full = self._store.head(self._bucket, key)
        if full is None:
            raise InternalError(f"The parts of upload {upload.id} were joined, but the file is not there; try again.")
        return full

    def _parts(self, upload: Upload) -> list[ObjectRef]:
        objects = part_objects(self._store, upload)
        for part in upload.parts:
            found = objects.get(part.n)
            if found is None or found.size != part.size:
                state = "is not there any more" if found is None else f"has {found.size} bytes instead of {part.size}"
                raise InvalidInputData(f"Part {part.n} {state}; send the file again.")
        return [objects[part.n] for part in upload.parts]

    def _copy(self, upload: Upload, parts: list[ObjectRef]) -> None:
        key = upload.reference.full_key
        multipart_id, copied = self._resume(upload)
        # S3 numbers from 1. A copy has the ETag of its source, where that is the MD5 of its bytes; else it is made again.
        missing = [n for n, part in enumerate(parts) if copied.get(n + 1) != part.etag]
        logger.info("Joining %d parts into %s, %d of them are copied", len(parts), key, len(parts) - len(missing))
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="copy") as pool:
            futures = {pool.submit(self._copies.copy_part, parts[n], self._bucket, key, multipart_id, n + 1): n for n in missing}
            waiting = set(futures)
            try:
                while waiting:
                    done, waiting = wait(waiting, timeout=2, return_when=FIRST_EXCEPTION)
                    copied |= {futures[future] + 1: future.result() for future in done}
                    self._tell("joining", len(parts) - len(waiting), len(parts))
            finally:
                pool.shutdown(cancel_futures=True)
        self._note_tags(upload, parts)
        if not self._copies.complete(self._bucket, key, multipart_id, {n + 1: copied[n + 1] for n in range(len(parts))}):
            logger.info("The copy %s was completed by another attempt, or thrown away", multipart_id)

    def _note_tags(self, upload: Upload, parts: list[ObjectRef]) -> None:
        """Keep which versions of the parts the file is made of, before there is a file: the relay sends no others."""
        self._store.put_bytes(self._bucket, upload.reference.tags_key, json.dumps([part.etag for part in parts]).encode())

    def _resume(self, upload: Upload) -> tuple[str, dict[int, str]]:
        """Return the multipart copy that is noted and what it has, or a new one that is noted before it has anything."""
        key, known = upload.reference.full_key, upload.joined.multipart_id
        if known is not None:
            copied = self._copies.copied(self._bucket, key, known)
            if copied is not None:
                return known, copied
        mine = self._copies.begin(self._bucket, key)
        noted = self._uploads.set_joined(
            upload, lambda now: now if now.multipart_id not in {None, known} else now.model_copy(update={"multipart_id": mine})
        )
        assert noted.multipart_id is not None  # noqa: S101  for the type checker
        if noted.multipart_id == mine:
            return mine, {}
        # Another attempt has begun at the same moment: it is gone on with.
        self._copies.abort(self._bucket, key, mine)
        return noted.multipart_id, self._copies.copied(self._bucket, key, noted.multipart_id) or {}

    def _check(self, upload: Upload, full: ObjectRef) -> None:
        if full.size != upload.size:
            self._store.delete(self._bucket, full.key)
            raise VerificationFailed(f"The joined file has {full.size} bytes instead of {upload.size}; try again.")
        if upload.sha256 is None:
            return
        done = 0

        def count(size: int) -> None:
            nonlocal done
            done += size
            self._tell("checking", done, full.size)

        found = self._copies.sha256(full, count)
        if found != upload.sha256:
            self._store.delete(self._bucket, full.key)
            raise InvalidInputData(f"The file has the SHA-256 {found}, not the announced {upload.sha256}; send it again.")
