"""Contract 4, uploads: parts go to S3 with temporary credentials, no byte of them through this server."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request

from include.media_api.auth import Client
from include.media_api.services import body_documentation, json_body
from include.media_api.upload_schemas import (
    CredentialsAnswer,
    CredentialsBody,
    CredentialsDocument,
    NewUpload,
    PartUrl,
    UploadAnswer,
    UploadBody,
    UploadList,
)
from include.media_api.upload_service import UploadService

__all__ = ["router"]

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "A field is wrong; `message` names it."},
    403: {"description": "The key is missing or wrong."},
    404: {"description": "There is no such atom or upload, or it is another client's."},
}
_OVER: dict[int | str, dict[str, Any]] = {409: {"description": "The upload has ended; `message` says how."}}

router = APIRouter(prefix="/atom/{atom_id}/uploads", tags=["uploads"], responses=_ERRORS)


def _service(request: Request) -> UploadService:
    service: UploadService = request.app.state.uploads
    return service


Service = Annotated[UploadService, Depends(_service)]
AtomId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="What the upload belongs to; the client's own.")]


@router.get("", response_model_exclude_none=True)
async def read_list(client: Client, service: Service, atom_id: AtomId) -> UploadList:
    """List the uploads of an atom, newest first; one that has failed is listed for ten minutes more."""
    found = await service.of_atom(client, atom_id)
    return UploadList(uploads=[UploadAnswer.of(upload, service.access.endpoint) for upload in found])


@router.post("", response_model_exclude_none=True, openapi_extra=body_documentation(UploadBody))
async def create(
    client: Client, service: Service, atom_id: AtomId, body: Annotated[UploadBody, Depends(json_body(UploadBody))]
) -> NewUpload:
    """Create an upload and start its workflow, which waits for the parts."""
    upload, credentials = await service.create(client, atom_id, body)
    return NewUpload.of(upload, service.access.endpoint, credentials=CredentialsDocument.of(credentials))


@router.get("/{upload_id}", response_model_exclude_none=True)
async def read(client: Client, service: Service, atom_id: AtomId, upload_id: str) -> UploadAnswer:
    """Tell how far an upload has come; a client that resumes sends the parts that are not complete."""
    return UploadAnswer.of(await service.read(client, atom_id, upload_id), service.access.endpoint)


@router.delete("/{upload_id}", status_code=204, responses=_OVER)
async def abort(client: Client, service: Service, atom_id: AtomId, upload_id: str) -> None:
    """Abort an upload: its workflow ends and its parts are removed. What YouTube has been sent is not published."""
    await service.abort(client, atom_id, upload_id)


@router.post("/{upload_id}/credentials", responses=_OVER, openapi_extra=body_documentation(CredentialsBody, required=False))
async def credentials(
    client: Client,
    service: Service,
    atom_id: AtomId,
    upload_id: str,
    body: Annotated[CredentialsBody, Depends(json_body(CredentialsBody, default=b"{}"))],
) -> CredentialsAnswer:
    """Issue fresh credentials, for all parts or for the one that `key` names."""
    issued = await service.credentials(client, atom_id, upload_id, body.key)
    return CredentialsAnswer(credentials=CredentialsDocument.of(issued))


@router.get("/{upload_id}/parts/{n}/url", responses=_OVER)
async def part_url(client: Client, service: Service, atom_id: AtomId, upload_id: str, n: int) -> PartUrl:
    """Return a URL that takes one PUT of part `n`, from 0: for pages without an SDK."""
    upload, url, expiry = await service.part_url(client, atom_id, upload_id, n)
    part = upload.part(n)
    return PartUrl(url=url, start=part.start, end=part.end, expiry=expiry)
