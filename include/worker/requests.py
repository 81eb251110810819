"""The requests that jobs are made of: what the contracts compile to, and the conf of the DAGs."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from include.sr_model.models import ModelName, Scale
from include.sr_model.zoo import preferred

__all__ = [
    "FOLDER",
    "INGEST_CLIENT",
    "Document",
    "SuperResolutionBody",
    "SuperResolutionRequest",
    "TranscodeRequest",
    "check_key",
    "check_text",
    "job_id_for",
    "split_key",
]

FOLDER = r"^[^/].*/$"
# In the conf of every run that ingest starts; callbacks that a sidecar names are signed with this client's secret.
INGEST_CLIENT = "ingest"
_MAX_KEY_BYTES = 1024
_MAX_NAME_BYTES = 240


def split_key(key: str) -> tuple[str, str, str]:
    """Return folder (with its slash), name without the last extension, and extension (with its dot)."""
    folder, slash, name = key.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    return (folder + slash, stem, dot + extension) if dot else (folder + slash, name, "")


def check_key(value: str) -> str:
    """Return a key that names an object; ``ValueError`` for one that S3, or a store of files, would not take for that place."""
    if any(part in {".", ".."} for part in value.split("/")):
        raise ValueError("must not have '.' or '..' between slashes")
    if len(value.encode()) > _MAX_KEY_BYTES:
        raise ValueError(f"must have at most {_MAX_KEY_BYTES} bytes, the most that a key may have")
    return check_text(value)


def check_text(value: str) -> str:
    """Return a text without control characters, which not every database keeps; ``ValueError`` for any other."""
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("must not hold control characters")
    return value


class Document(BaseModel):
    """Base of the documents: immutable, unknown fields refused."""

    # Addresses among what is wrong may hold secrets, and errors are logged.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _is_absent(value: object) -> bool:
    return value is None


def job_id_for(bucket: str, destination_key: str) -> str:
    """Return the id of the job that produces ``destination_key``: 20 hex digits, the same for every request for it."""
    return hashlib.sha256(f"{bucket}\n{destination_key}".encode()).hexdigest()[:20]


class TranscodeRequest(Document):
    """One video to one output: what every contract compiles to, and the conf of the DAG ``transcode``."""

    bucket: str = Field(description="Bucket of source and destination.", examples=["media"], min_length=3, max_length=63)
    source_key: str = Field(description="Object key of the source video.", min_length=1, max_length=1024)
    folder: str = Field(description="Output folder, ends with a slash.", pattern=FOLDER, max_length=900, examples=["dst/clip_1/"])
    name: str = Field(description="Base name of the outputs in the folder.", pattern=r"^[^/]+$", max_length=255)
    container: Literal["hls", "mp4"] = Field("hls", description="HLS ladder, or one faststart MP4.")
    profile: str | None = Field(
        None,
        description="Encoding profile; default `hls_ladder` or `mp4_single` by container.",
        pattern=r"^[a-z0-9_]+$",
    )
    source_bit_rate: int | None = Field(None, gt=0, description="Source bit/s, where the client knows it; else probed.")
    source_height: int | None = Field(None, gt=0, description="Source height, where the client knows it; else probed.")
    content_provider: str | None = Field(None, max_length=200, description="Shown on the run, usable as a filter.")
    client: str | None = Field(None, max_length=200, description="Client that asked; set by the APIs.")
    damage_policy: Literal["strict", "salvage"] | None = Field(None, description="Overrides `MEDIA_DAMAGE_POLICY`.")

    @property
    def destination_key(self) -> str:
        """The object that clients look for; written last."""
        return f"{self.folder}{self.name}.{'m3u8' if self.container == 'hls' else 'mp4'}"

    @property
    def job_id(self) -> str:
        """See :func:`job_id_for`."""
        return job_id_for(self.bucket, self.destination_key)

    @property
    def run_id(self) -> str:
        """The Airflow run id of this job in the DAG ``transcode``."""
        return f"transcode__{self.job_id}"


class SuperResolutionBody(Document):
    """The body of `POST /prod`: contract 2's fields, and ours. Numbers may be strings."""

    key: str = Field(description="Object key of the source video.", min_length=1, max_length=1024, examples=["clips/holiday.mp4"])
    scale: Scale = Field(2, description="Upscaling per side: 2 or 4.")
    task: Literal["inference", "debug"] = Field("inference", description="`debug` also keeps every intermediate file.")
    env: Literal["spot", "onDemand"] = Field("spot", description="Kind of machine that a fleet runs segments on.")
    segment_time: float = Field(
        60.0, gt=0, le=86400, description="Seconds of video per segment; segments start at keyframes, so they are longer."
    )
    model: ModelName | None = Field(None, description="Size of the network; left out: `MEDIA_SR_MODEL`.")
    ladder: Literal["m3u8", "mp4"] | None = Field(
        None,
        description="Afterwards transcode the result: `m3u8` an HLS ladder, `mp4` one MP4, in the folder `<stem>_x<scale>/`.",
    )

    @field_validator("key")
    @classmethod
    def _check_key(cls, value: str) -> str:
        if value.endswith("/") or not split_key(value)[1]:
            raise ValueError("must name one video file")
        return check_key(value)

    @field_validator("scale", mode="before")
    @classmethod
    def _read_scale(cls, value: Any) -> Any:
        number = _number(value)
        if number not in {2, 4}:
            raise ValueError("must be 2 or 4")
        return int(number)

    @field_validator("segment_time", mode="before")
    @classmethod
    def _read_segment_time(cls, value: Any) -> Any:
        number = _number(value)
        if number is None:
            raise ValueError("must be a number of seconds, such as 60")
        return number

    @model_validator(mode="after")
    def _check_length(self) -> SuperResolutionBody:
        longest = max(self.destination_key, f"{self.debug_folder}segments/segment-00000.nut", key=len)
        name = f"{split_key(self.key)[1]}_x{self.scale}"
        if len(longest.encode()) > _MAX_KEY_BYTES or len(name.encode()) > _MAX_NAME_BYTES:
            raise ValueError("key: is too long for the names of the outputs; use a shorter one")
        return self

    @property
    def folder(self) -> str:
        """Where the outputs are: beside the source."""
        return split_key(self.key)[0]

    @property
    def destination_key(self) -> str:
        """The upscaled video."""
        _, stem, extension = split_key(self.key)
        return f"{self.folder}{stem}_x{self.scale}{extension}"

    def chosen_model(self, default: str) -> str:
        """Return the size of the network, where ``default`` is that of requests that name none."""
        return self.model or preferred(self.scale, default)

    @property
    def debug_folder(self) -> str:
        """Where ``debug`` keeps the intermediate files."""
        _, stem, extension = split_key(self.key)
        return f"{self.folder}{stem}_{extension.removeprefix('.')}_debug/"


class SuperResolutionRequest(SuperResolutionBody):
    """One video upscaled: the conf of the DAG ``super_resolution``."""

    bucket: str = Field(description="Bucket of source and output.", examples=["media"], min_length=3, max_length=63)
    client: str | None = Field(None, max_length=200, description="Client that asked; set by the APIs.")
    output_folder: str | None = Field(
        None,
        description="Folder of the outputs, ends with a slash; left out: that of the source.",
        pattern=FOLDER,
        max_length=900,
        # Left out of what is written, so that units that were done before there was this field stay done.
        exclude_if=_is_absent,
    )

    @field_validator("output_folder")
    @classmethod
    def _check_output_folder(cls, value: str | None) -> str | None:
        return value if value is None else check_key(value)

    @property
    def folder(self) -> str:
        """Where the outputs are."""
        return super().folder if self.output_folder is None else self.output_folder

    @property
    def job_id(self) -> str:
        """See :func:`job_id_for`."""
        return job_id_for(self.bucket, f"{self.destination_key}\nsuper_resolution")

    @property
    def run_id(self) -> str:
        """The Airflow run id of this job in the DAG ``super_resolution``."""
        return f"super_resolution__{self.job_id}"

    @property
    def ladder_request(self) -> TranscodeRequest | None:
        """The transcode of the result that is wanted afterwards."""
        if self.ladder is None:
            return None
        folder, stem, _ = split_key(self.destination_key)
        container: Literal["hls", "mp4"] = "hls" if self.ladder == "m3u8" else "mp4"
        return TranscodeRequest(
            bucket=self.bucket,
            source_key=self.destination_key,
            folder=f"{folder}{stem}/",
            name=stem,
            container=container,
            client=self.client,
        )


def _number(value: Any) -> float | None:
    """Return a number that is one or spells one; None for anything else, infinities among it."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]{1,9})?\s*", value, re.ASCII):
        return float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9:
        return float(value)
    return None
