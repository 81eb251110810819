"""Why a run has failed, from what it has left: its outcome, the upload's state, or the ingest's refusal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from include.orchestration import live, super_resolution, transcode

if TYPE_CHECKING:
    from include.worker.job import Job

__all__ = ["ended_at", "film_seconds", "job_of", "problem_of"]

_JOBS = {"transcode": transcode.job_of, "super_resolution": super_resolution.job_of, "live": live.job_of}


def job_of(dag_id: str, conf: Mapping[str, Any]) -> Job | None:
    """Return the job of a run, or ``None`` where it has none."""
    return _JOBS[dag_id](conf) if dag_id in _JOBS else None


def problem_of(dag_id: str, run_id: str, conf: Mapping[str, Any], started: datetime | None) -> dict[str, Any] | None:
    """Return ``{"code", "message"}``, or ``None`` where nothing tells; raises :class:`MediaError` where that cannot be read."""
    if dag_id == "upload":
        return _of_upload(conf)
    if dag_id == "ingest_object":
        return _of_ingest(conf)
    job = job_of(dag_id, conf)
    outcome = job.read_outcome() if job else None
    if outcome is None or outcome.run_id != run_id:
        return None
    if started is not None and outcome.finished_at < started.replace(microsecond=0):
        # That of an earlier attempt says nothing of this one.
        return None
    return outcome.error


def ended_at(dag_id: str, run_id: str, conf: Mapping[str, Any]) -> datetime | None:
    """Return when a run of a job last told its end, to the second; ``None`` where it never has."""
    job = job_of(dag_id, conf)
    outcome = job.read_outcome() if job else None
    return outcome.finished_at if outcome and outcome.run_id == run_id else None


def film_seconds(dag_id: str, conf: Mapping[str, Any]) -> float | None:
    """Return the length of a run's film, as far as it has been planned."""
    job = job_of(dag_id, conf)
    if job is None or dag_id == "live":
        return None
    plan = job.read_super_resolution_plan() if dag_id == "super_resolution" else job.read_plan()
    return float(plan.info.duration)


def _of_ingest(conf: Mapping[str, Any]) -> dict[str, Any] | None:
    from include.ingest.claims import Claims  # noqa: PLC0415
    from include.ingest.place import open_ingest  # noqa: PLC0415

    claim_id = conf.get("claim_id")
    claim = Claims(open_ingest()).find(claim_id) if isinstance(claim_id, str) else None
    return claim.error if claim else None


def _of_upload(conf: Mapping[str, Any]) -> dict[str, Any] | None:
    from include.orchestration.upload.access import open_uploads  # noqa: PLC0415
    from include.orchestration.upload.finish import problem_of as upload_problem  # noqa: PLC0415
    from include.uploads.models import UploadReference  # noqa: PLC0415

    try:
        reference = UploadReference.model_validate(dict(conf))
    except ValidationError:
        return None
    problem = upload_problem(open_uploads().read(reference.atom_id, reference.upload_id))
    return {"code": problem.code, "message": problem.message} if problem else None
