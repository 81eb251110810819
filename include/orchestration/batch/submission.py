"""What is asked of Batch, as a pure function of unit, settings and environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.orchestration.batch.names import group_id, job_name, job_prefix, tag, unit_prefix
from include.settings import Settings
from include.worker.models import WorkUnit

__all__ = ["Lane", "Work", "lane_of", "submission"]

SMALLEST_TIMEOUT = 60
# What decides about outputs is the same wherever a unit runs; what describes a machine is the job definition's affair.
CARRIED = (
    "bucket", "buckets", "work_prefix", "keep_work_files",
    "max_source_bytes", "max_source_seconds", "max_source_pixels", "max_source_streams",
    "x264_preset", "hls_segment_type", "damage_policy", "verify_decode", "quality",
    "allowed_networks", "max_redirects", "connect_seconds", "stall_seconds", "live_seconds", "live_reconnect_seconds",
    "sr_model", "sr_max_output_pixels", "sr_crf", "sr_preset",
    "chunk_seconds", "max_units", "unit_timeout_seconds",
)  # fmt: skip
# Endpoints of an S3 or Batch that is not AWS's. Credentials never: a job has a role, or its definition knows test ones.
CARRIED_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
CARRIED_PREFIX = "AWS_ENDPOINT_URL"


@dataclass(frozen=True)
class Work:
    """What one task of Airflow hands to Batch: a unit, or a group of units of one kind."""

    units: tuple[WorkUnit, ...]

    @property
    def id(self) -> str:
        """Id of the unit, or of the group."""
        return group_id(self.units)

    @property
    def name(self) -> str:
        """Name of its Batch job."""
        return job_name(self.units)

    @property
    def prefix(self) -> str:
        """How the names of all its Batch jobs begin, those of other versions, too."""
        return unit_prefix(self.units)

    @property
    def job_prefix(self) -> str:
        """How the names of all Batch jobs of its media job begin."""
        return job_prefix(self.units[0].job_id)


@dataclass(frozen=True)
class Lane:
    """The queues and the job definition of a kind of unit; ``queue`` is where its job starts."""

    spot: str
    on_demand: str
    definition: str
    env: str

    @property
    def queue(self) -> str:
        """The queue that the unit's request, or else the settings ask for."""
        return self.spot if self.env == "spot" else self.on_demand

    @property
    def queues(self) -> tuple[str, ...]:
        """All queues that a job of the unit may be in."""
        return tuple(dict.fromkeys((self.queue, self.spot, self.on_demand)))


def lane_of(work: Work, settings: Settings) -> Lane:
    """Return where the work's job runs: ``env`` of contract 2 picks the queue of upscaling, a setting that of all others."""
    task = work.units[0].task
    if task.kind == "upscale":
        spot, on_demand = settings.batch_sr_queue_spot, settings.batch_sr_queue_on_demand
        return Lane(spot, on_demand, settings.batch_sr_job_definition, task.env)
    spot, on_demand = settings.batch_cpu_queue_spot, settings.batch_cpu_queue_on_demand
    return Lane(spot, on_demand, settings.batch_cpu_job_definition, settings.batch_cpu_env)


def submission(
    work: Work,
    settings: Settings,
    *,
    queue: str,
    definition: str,
    command: Sequence[str],
    size: int = 1,
    environ: Mapping[str, str],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """Return the arguments of SubmitJob; ``size`` above one makes an array job.

    Batch itself repeats a job only when its instance was taken away: a unit's own failure is for Airflow's retry policy, which
    knows the error.
    """
    document: dict[str, Any] = {
        "jobName": work.name,
        "jobQueue": queue,
        "jobDefinition": definition,
        "containerOverrides": {
            "command": list(command),
            "environment": [{"name": name, "value": value} for name, value in sorted(_environment(settings, environ).items())],
        },
        "retryStrategy": {
            "attempts": settings.batch_attempts,
            "evaluateOnExit": [
                {"onStatusReason": "Host EC2*", "action": "RETRY"},
                {"onReason": "*", "action": "EXIT"},
            ],
        },
        "timeout": {"attemptDurationSeconds": max(SMALLEST_TIMEOUT, settings.seconds_for(work.units[0].task.kind))},
        "tags": {name: tag(value) for name, value in tags.items()},
        "propagateTags": True,
    }
    if size > 1:
        document["arrayProperties"] = {"size": size}
    return document


def _environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    given = {
        f"MEDIA_{name.upper()}": _text(getattr(settings, name))
        for name in CARRIED
        if name in settings.model_fields_set and getattr(settings, name) is not None
    }
    sdk = {
        name: value for name, value in environ.items() if value and (name in CARRIED_VARIABLES or name.startswith(CARRIED_PREFIX))
    }
    return given | sdk


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
