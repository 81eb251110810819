"""What a run is about, from its conf: kind, title, destination, who asked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from include.errors import MediaError
from include.ffmpeg_ops.redaction import redacted
from include.net.urls import parse_source
from include.worker.requests import SuperResolutionRequest, TranscodeRequest

__all__ = ["Kind", "Subject", "kind_of", "shown", "subject_of"]

Kind = Literal["transcode", "super_resolution", "task", "upload", "folder", "ingest"]
"""Contracts 1 to 4; a folder that is being submitted; an object that was dropped and could not be taken."""

_BY_DAG: Mapping[str, Kind] = {
    "transcode": "transcode",
    "super_resolution": "super_resolution",
    "live": "task",
    "upload": "upload",
    "video_transcode": "folder",
    "ingest_object": "ingest",
}


@dataclass(frozen=True)
class Subject:
    """What a row of the list says of a run beside how it goes."""

    kind: Kind
    title: str
    destination: str | None = None
    client: str | None = None
    content_provider: str | None = None


def kind_of(dag_id: str, conf: Mapping[str, Any]) -> Kind | None:
    """Return the kind of a run; ``None`` where its DAG is none of ours."""
    if dag_id == "transcode" and "task_id" in conf:
        return "task"
    return _BY_DAG.get(dag_id)


def subject_of(kind: Kind, run_id: str, conf: Mapping[str, Any]) -> Subject:
    """Return what a run is about; conf may be anything that somebody has typed into Airflow's form."""
    title, destination = _READERS[kind](conf)
    return Subject(
        kind=kind,
        title=shown(title or run_id),
        destination=shown(destination) if destination else None,
        client=_text(conf, "client"),
        content_provider=_text(conf, "content_provider") or _text(conf, "contentprovider"),
    )


def shown(address: str) -> str:
    """Return a key or an address, which somebody may have typed into Airflow's form, without what may be secret."""
    if "://" not in address:
        return address
    try:
        return parse_source(address).redacted
    except MediaError:
        return redacted(address)


def _text(conf: Mapping[str, Any], name: str) -> str | None:
    value = conf.get(name)
    return value if isinstance(value, str) and value else None


def _transcode(conf: Mapping[str, Any]) -> tuple[str | None, str | None]:
    try:
        return _text(conf, "source_key"), TranscodeRequest.model_validate(conf).destination_key
    except ValidationError:
        return _text(conf, "source_key"), _text(conf, "folder")


def _super_resolution(conf: Mapping[str, Any]) -> tuple[str | None, str | None]:
    try:
        return _text(conf, "key"), SuperResolutionRequest.model_validate(conf).destination_key
    except ValidationError:
        return _text(conf, "key"), None


def _task(conf: Mapping[str, Any]) -> tuple[str | None, str | None]:
    targets = conf.get("targets")
    first = targets[0] if isinstance(targets, (list, tuple)) and targets and isinstance(targets[0], str) else None
    return _text(conf, "source"), first


def _upload(conf: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return _text(conf, "filename"), None


def _folder(conf: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return _text(conf, "src"), _text(conf, "dst")


def _ingest(conf: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return _text(conf, "key"), None


_READERS = {
    "transcode": _transcode,
    "super_resolution": _super_resolution,
    "task": _task,
    "upload": _upload,
    "folder": _folder,
    "ingest": _ingest,
}
