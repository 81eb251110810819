"""Creating, reading and ending uploads, for their routes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from anyio.to_thread import run_sync

from include.errors import Conflict, LimitExceeded, NotFound, ParameterError
from include.media_api.gateway import AirflowGateway, Run, in_name_of
from include.media_api.upload_schemas import UploadBody
from include.media_store.credentials import Credentials, UploadAccess
from include.media_store.multipart import S3Copies
from include.media_store.objects import ObjectStore
from include.media_store.uploads_table import DynamoUploadsTable
from include.settings import Settings
from include.uploads.models import Problem, Upload, UploadPlan, UploadReference
from include.uploads.parts import part_size
from include.uploads.registry import Uploads, new_upload_id
from include.uploads.transcode import transcode_request
from include.uploads.youtube.metadata import check_metadata

__all__ = ["UPLOAD_DAG", "UploadService", "make_upload_service"]

UPLOAD_DAG = "upload"
TRANSCODE_DAG = "transcode"
SHOWN_SECONDS = 600  # contract: failed ones are kept in lists for ten minutes
START_SECONDS = 30.0  # a request that creates an upload starts its run within this time
NO_UPLOAD = "There is no such upload."
STOPPED = "The upload's workflow was ended before the upload was complete. Create a new upload."


@dataclass(frozen=True)
class UploadService:
    """The uploads of all clients; a client sees its own only."""

    settings: Settings
    uploads: Uploads
    store: ObjectStore
    copies: S3Copies
    access: UploadAccess
    gateway: AirflowGateway

    async def create(self, client: str, atom_id: str, body: UploadBody) -> tuple[Upload, Credentials]:
        """Keep a new upload and start its run; credentials to write its parts come with it."""
        plan = self._plan(client, body)
        reference = UploadReference(atom_id=atom_id, upload_id=new_upload_id(), client=client)
        # First what may fail and leaves nothing; a run without an upload would fail, an upload without a run is given one.
        credentials = await run_sync(self._credentials, plan.bucket, f"{reference.parts_prefix}*", reference)
        upload = await run_sync(self.uploads.create, atom_id, reference.upload_id, plan)
        await self._start(upload)
        return upload, credentials

    async def of_atom(self, client: str, atom_id: str) -> list[Upload]:
        """Return the client's uploads of an atom, newest first; ``NotFound`` where it never had any."""
        found = [upload for upload in await run_sync(self.uploads.list, atom_id) if upload.client == client]
        if not found:
            raise NotFound("There is no such atom.")
        current = await self._reconciled([upload for upload in found if upload.outcome.state != "aborted"])
        now = time.time()
        return [one for one in current if one.outcome.state != "failed" or now - one.outcome.at < SHOWN_SECONDS]

    async def read(self, client: str, atom_id: str, upload_id: str) -> Upload:
        """Return a client's upload; ``NotFound`` where it is another one's, or was aborted."""
        upload = await self._own(client, atom_id, upload_id)
        if upload.outcome.state == "aborted":
            raise NotFound(NO_UPLOAD)
        return (await self._reconciled([upload]))[0]

    async def credentials(self, client: str, atom_id: str, upload_id: str, key: str | None) -> Credentials:
        """Return fresh credentials for all parts, or for the one with this key."""
        upload = await self._open(client, atom_id, upload_id)
        if key is not None and key not in {part.key for part in upload.parts}:
            raise ParameterError("key: is no part of this upload.")
        wanted = key or f"{upload.reference.parts_prefix}*"
        return await run_sync(self._credentials, upload.bucket, wanted, upload.reference)

    async def part_url(self, client: str, atom_id: str, upload_id: str, n: int) -> tuple[Upload, str, int]:
        """Return the upload, a URL that takes a PUT of its part ``n``, and when that ends (epoch seconds)."""
        upload = await self._open(client, atom_id, upload_id)
        if not 0 <= n < upload.part_count:
            raise NotFound(f"The upload has the parts 0 to {upload.part_count - 1}.")
        expiry = int(time.time()) + self.settings.upload_credential_seconds
        return upload, await run_sync(self.access.part_url, upload.bucket, upload.part(n).key), expiry

    async def abort(self, client: str, atom_id: str, upload_id: str) -> None:
        """End an upload and what it has started, and remove its parts; of one that was aborted, what was left undone."""
        upload = await self._own(client, atom_id, upload_id)
        if (await run_sync(self.uploads.abort, upload.reference)).state == "complete":
            raise Conflict("The upload is complete and cannot be aborted any more.")
        await self.gateway.stop(UPLOAD_DAG, upload.reference.run_id)
        if "s3Bucket" in upload.destinations:
            # Its transcode was started in nobody's name: who may stop an upload need not have a right to others' transcodes.
            with in_name_of(None):
                await self.gateway.stop(TRANSCODE_DAG, transcode_request(upload, self.settings.bucket).run_id)
        await run_sync(self._remove, upload)

    async def _own(self, client: str, atom_id: str, upload_id: str) -> Upload:
        """Return a client's upload, whatever became of it."""
        try:
            upload = await run_sync(self.uploads.read, atom_id, upload_id)
        except NotFound:
            upload = None
        if upload is None or upload.client != client:
            raise NotFound(NO_UPLOAD)
        return upload

    async def _open(self, client: str, atom_id: str, upload_id: str) -> Upload:
        upload = await self.read(client, atom_id, upload_id)
        if upload.is_over:
            reason = upload.outcome.problem.message if upload.outcome.problem else "It is complete."
            raise Conflict(f"The upload takes no more parts: {reason}")
        return upload

    def _plan(self, client: str, body: UploadBody) -> UploadPlan:
        settings = self.settings
        if body.size > settings.upload_max_bytes:
            raise LimitExceeded(f"size: must be at most {settings.upload_max_bytes} bytes (MEDIA_UPLOAD_MAX_BYTES).")
        if "youtube" in body.destinations:
            check_metadata(body.youtube_title, body.description, body.tags, body.privacy)
        return UploadPlan(
            client=client,
            filename=body.filename,
            size=body.size,
            part_size=part_size(body.size, settings.upload_part_size),
            destinations=body.destinations,
            bucket=settings.upload_bucket or settings.bucket,
            region=self.access.region,
            created_at=time.time(),
            title=body.youtube_title,
            description=body.description,
            tags=body.tags,
            privacy=body.privacy,
            channel=body.channel,
            sha256=body.sha256,
        )

    def _credentials(self, bucket: str, key: str, reference: UploadReference) -> Credentials:
        return self.access.credentials(bucket, key, name=f"upload-{reference.upload_id}")

    async def _start(self, upload: Upload) -> None:
        note = f"{upload.client}: {upload.filename} for {upload.atom_id}"
        conf = upload.reference.model_copy(update={"filename": upload.filename}).model_dump()
        await self.gateway.trigger(UPLOAD_DAG, upload.reference.run_id, conf, note)

    async def _reconciled(self, uploads: Sequence[Upload]) -> list[Upload]:
        """Return the uploads, those failed whose run somebody has ended; start the runs that were never started."""
        open_ = {upload.reference.run_id: upload for upload in uploads if not upload.is_over}
        runs = await self.gateway.runs(UPLOAD_DAG, open_) if open_ else {}
        current = await asyncio.gather(*(self._with_run(upload, runs.get(run_id)) for run_id, upload in open_.items()))
        by_id = {upload.id: upload for upload in current}
        return [by_id.get(upload.id, upload) for upload in uploads]

    async def _with_run(self, upload: Upload, run: Run | None) -> Upload:
        if run is None and time.time() - upload.created_at > START_SECONDS:
            await self._start(upload)
        if run is None or not run.is_finished:
            return upload
        return await run_sync(self._ended, upload)

    def _ended(self, upload: Upload) -> Upload:
        """Note that the run has ended and has not said so itself: it was marked in Airflow."""
        problem = Problem(code="Cancelled", message=STOPPED)
        if self.uploads.fail(upload.reference, problem).problem == problem:
            for kind in upload.destinations:
                self.uploads.set_destination(upload.atom_id, upload.id, kind, status="failed", error=STOPPED)
        return self.uploads.read(upload.atom_id, upload.id)

    def _remove(self, upload: Upload) -> None:
        bucket, reference = self.settings.bucket, upload.reference
        joined = self.uploads.read(upload.atom_id, upload.id).joined
        if joined.multipart_id and not joined.done:
            self.copies.abort(bucket, reference.full_key, joined.multipart_id)
        self.store.delete_prefix(upload.bucket, reference.parts_prefix)
        for key in (reference.full_key, reference.tags_key):
            self.store.delete(bucket, key)


def make_upload_service(settings: Settings, store: ObjectStore, gateway: AirflowGateway) -> UploadService:
    """Return the service on the SDK's own configuration."""
    uploads = Uploads(DynamoUploadsTable(settings))
    return UploadService(settings, uploads, store, S3Copies(), UploadAccess(settings), gateway)
