"""What is to be made of a dropped object: its sidecar, tags and metadata, validated as the APIs validate their bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from include.errors import NotFound, ParameterError
from include.ingest.candidates import Kind, fits, path_below, sidecar_keys
from include.ingest.models import INGEST_CLIENT
from include.settings import Settings
from include.worker.callback import Callback, check_callback
from include.worker.requests import FOLDER, SuperResolutionBody, SuperResolutionRequest, TranscodeRequest, split_key
from include.worker.video_transcode import VideoTranscodeRequest, element_of

if TYPE_CHECKING:
    from include.ingest.place import Ingest
    from include.media_store.inbox import Looked
    from include.media_store.models import ObjectRef

__all__ = ["RUN_TAG", "STATE_TAG", "Parameters", "Sidecar", "read_sidecar", "request_for"]

TAG_PREFIX, METADATA_PREFIX = "reelflow:", "reelflow-"
# Tags that ingest itself sets.
STATE_TAG, RUN_TAG = f"{TAG_PREFIX}state", f"{TAG_PREFIX}run"
MOST_BYTES = 64 * 1024
_OWN = "is the dropped object's own; leave it out"


class TranscodeSidecar(VideoTranscodeRequest, extra="forbid"):
    """Contract 1's body, where fields that it does not know are refused."""


class SuperResolutionSidecar(SuperResolutionBody):
    """Contract 2's body, and where the outputs are to be."""

    output_folder: str | None = Field(None, pattern=FOLDER, max_length=900)
    callback_url: str | None = Field(None, min_length=1, max_length=2048)


Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True)
class Sidecar:
    """A sidecar as it was read."""

    ref: ObjectRef
    modified_at: datetime
    content: bytes


@dataclass(frozen=True)
class Parameters:
    """What is to be made of a dropped object."""

    request: TranscodeRequest | SuperResolutionRequest
    callback: Callback | None


def read_sidecar(ingest: Ingest, bucket: str, key: str) -> Sidecar | None:
    """Return an object's sidecar; ``None`` where it has none, or it went away while it was read."""
    for name in filter(fits, sidecar_keys(key)):
        listed = ingest.inbox.head(bucket, name)
        if listed is not None:
            try:
                content = b"" if listed.ref.size > MOST_BYTES else ingest.store.get_bytes(bucket, name)
            except NotFound:
                continue
            return Sidecar(listed.ref, listed.modified_at, content)
    return None


def request_for(settings: Settings, kind: Kind, looked: Looked, sidecar: Sidecar | None, version: str) -> Parameters:
    """Return what is to be made; raises :class:`ParameterError` naming every field that is wrong.

    A field is taken from the sidecar, else from a tag ``reelflow:<field>``, else from user metadata ``reelflow-<field>``.
    ``version`` tells apart the outputs of an object's versions.
    """
    # Names of headers have no underscores on the way through many a proxy.
    metadata = {name.replace("-", "_"): value for name, value in _prefixed(looked.metadata, METADATA_PREFIX).items()}
    tags = {name: value for name, value in looked.tags.items() if name not in {STATE_TAG, RUN_TAG}}
    given = metadata | _prefixed(tags, TAG_PREFIX) | _read(sidecar)
    make = _transcode if kind == "transcode" else _super_resolution
    parameters = make(settings, looked.ref, given, version)
    if parameters.callback is not None:
        check_callback(parameters.callback.url, INGEST_CLIENT, settings)
    folder = parameters.request.folder
    if folder.startswith((*settings.ingest_prefixes, settings.work_prefix)):
        field = "dst" if kind == "transcode" else "output_folder"
        raise ParameterError(
            f"{field}: {folder!r} lies in a folder that is watched, or kept for work in progress; choose another."
        )
    return parameters


def _transcode(settings: Settings, source: ObjectRef, given: dict[str, Any], version: str) -> Parameters:
    own = {"bucket": source.bucket, "src": source.key}
    problems = [f"{name}: {_OWN}" for name in own if name in given]
    if given.get("testflag", "no") != "no":
        problems.append("testflag: a dropped object is always a real run; leave it out")
    defaults = {"dst": _output_folder(settings, source.key), "time": version, "type": "m3u8", "testflag": "no"}
    body = _validated(TranscodeSidecar, defaults | given | own | {"testflag": "no"}, problems)
    element = element_of(settings, body, INGEST_CLIENT, source)
    if element.request is None:
        raise ParameterError(element.error or "The source cannot be used.")
    made = element.request
    about = {"bucket": made.bucket, "src": made.source_key, "dst": made.destination_key, "time": body.time}
    return Parameters(made, _callback(body.callback_url, about))


def _super_resolution(settings: Settings, source: ObjectRef, given: dict[str, Any], version: str) -> Parameters:
    problems = [f"{name}: {_OWN}" for name in ("bucket", "key") if given.pop(name, None) is not None]
    body = _validated(SuperResolutionSidecar, given | {"key": source.key}, problems)
    folder = body.output_folder or f"{_output_folder(settings, source.key)}{split_key(source.key)[1]}_{version}/"
    fields = body.model_dump(exclude={"callback_url", "output_folder"})
    try:
        made = SuperResolutionRequest(bucket=source.bucket, client=INGEST_CLIENT, output_folder=folder, **fields)
    except ValidationError as error:
        raise ParameterError(_sentence(_problems(error))) from None
    about = {"bucket": made.bucket, "key": made.key, "output_key": made.destination_key, "scale": made.scale}
    return Parameters(made, _callback(body.callback_url, about))


def _callback(url: str | None, about: dict[str, Any]) -> Callback | None:
    return None if url is None else Callback(url=url, client=INGEST_CLIENT, about=about)


def _output_folder(settings: Settings, key: str) -> str:
    return f"{settings.ingest_output}{split_key(path_below(settings, key))[0]}"


def _prefixed(values: Mapping[str, str], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _read(sidecar: Sidecar | None) -> dict[str, Any]:
    if sidecar is None:
        return {}
    name = sidecar.ref.key.rpartition("/")[2]
    if sidecar.ref.size > MOST_BYTES:
        raise ParameterError(f"{name} has {sidecar.ref.size} bytes, more than the {MOST_BYTES} that a sidecar may have.")
    try:
        # Windows' editors begin UTF-8 with a mark.
        document = json.loads(sidecar.content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise ParameterError(f"{name} is not JSON in UTF-8{where}.") from None
    if not isinstance(document, dict):
        raise ParameterError(f'{name} is no JSON object: it must look like {{"type": "mp4"}}.')
    return document


def _validated(model: type[Body], values: dict[str, Any], problems: list[str]) -> Body:
    try:
        body = model.model_validate(values)
    except ValidationError as error:
        raise ParameterError(_sentence([*problems, *_problems(error)])) from None
    if problems:
        raise ParameterError(_sentence(problems))
    return body


def _problems(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(map(str, item['loc'])) or 'sidecar'}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors()
    ]


def _sentence(problems: list[str]) -> str:
    return f"The object's parameters are wrong. {'; '.join(problems)}."
