"""Bodies and answers of the uploads' API."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from include.media_store.credentials import Credentials
from include.uploads.models import DestinationType, Privacy, Status, Upload
from include.uploads.youtube.metadata import TAGS_CHARACTERS

__all__ = ["CredentialsAnswer", "CredentialsBody", "NewUpload", "PartUrl", "UploadAnswer", "UploadBody", "UploadList"]


class UploadBody(BaseModel):
    """The file that is to be uploaded, and where it is to go."""

    model_config = ConfigDict(extra="forbid")

    filename: str = Field(min_length=1, max_length=255, description="Name of the file.", examples=["interview.mp4"])
    size: int = Field(strict=True, gt=0, description="Bytes of the file.", examples=[1_288_490_188])
    destinations: Annotated[tuple[DestinationType, ...], Field(min_length=1, max_length=2)] = Field(
        ("s3Bucket",), description="Where it goes: `s3Bucket` makes an HLS ladder of it, `youtube` publishes it there."
    )
    sha256: str | None = Field(None, description="SHA-256 of the file in hexadecimal; the joined file is checked against it.")
    title: str | None = Field(
        None, max_length=100, description="Title on YouTube, at most 100 characters; left out: the file's name."
    )
    description: str = Field("", max_length=5000, description="Description on YouTube, at most 5000 bytes.")
    tags: tuple[Annotated[str, Field(max_length=500)], ...] = Field(
        (), max_length=500, description="Tags on YouTube, at most 500 characters together."
    )
    privacy: Privacy = Field("private", description="Who sees it on YouTube.")
    channel: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]{1,64}$", description="YouTube channel, where the administrator has set up several."
    )

    @field_validator("filename")
    @classmethod
    def _check_filename(cls, value: str) -> str:
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise ValueError("must not hold control characters")
        return value

    @field_validator("destinations")
    @classmethod
    def _check_destinations(cls, value: tuple[DestinationType, ...]) -> tuple[DestinationType, ...]:
        if len(set(value)) < len(value):
            raise ValueError("names one of them twice")
        return value

    @field_validator("tags")
    @classmethod
    def _check_tags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # Wherever the file goes: an item of the table holds no more than 400 KB.
        if sum(map(len, value)) > TAGS_CHARACTERS:
            raise ValueError(f"must have at most {TAGS_CHARACTERS} characters together")
        return value

    @field_validator("sha256")
    @classmethod
    def _check_sha256(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch("[0-9a-fA-F]{64}", value):
            raise ValueError("must be 64 hexadecimal digits")
        return value and value.lower()

    @property
    def youtube_title(self) -> str:
        """The title, or what stands for it."""
        if self.title is not None:
            return self.title
        stem = self.filename.rpartition("/")[2].rpartition(".")[0] or self.filename
        return re.sub("[<>]", "_", stem).strip()[:100] or "video"


class CredentialsBody(BaseModel):
    """Which part credentials are wanted for."""

    model_config = ConfigDict(extra="forbid")

    key: str | None = Field(None, description="Key of one part; left out: all parts of the upload.")


class CredentialsDocument(BaseModel):
    """Temporary credentials of AWS: they write parts of this upload and do nothing else."""

    temporaryAccessId: str  # noqa: N815  the contract's words
    temporarySecretKey: str  # noqa: N815
    sessionToken: str  # noqa: N815
    expiry: int = Field(description="Epoch seconds.")

    @classmethod
    def of(cls, credentials: Credentials) -> CredentialsDocument:
        """Return what the client gets."""
        return cls(
            temporaryAccessId=credentials.access_key,
            temporarySecretKey=credentials.secret_key,
            sessionToken=credentials.session_token,
            expiry=credentials.expiry,
        )


class CredentialsAnswer(BaseModel):
    """Fresh credentials."""

    credentials: CredentialsDocument


class DestinationAnswer(BaseModel):
    """How far the upload has come there."""

    type: DestinationType
    status: Status
    progress: float = Field(description="0 to 100 within the status; it never goes back.")
    details: str | None = None
    error: str | None = None


class PartAnswer(BaseModel):
    """A part: bytes `start` to before `end` of the file go to `key`."""

    start: int
    end: int
    key: str
    complete: bool = Field(description="It is there, with the right size.")
    error: str | None = Field(None, description="What is wrong with what was sent.")


class UploadAnswer(BaseModel):
    """An upload."""

    id: str
    region: str
    bucket: str
    endpoint: str | None = Field(None, description="Address of S3, where it is not AWS.")
    filename: str
    size: int
    destinations: list[DestinationAnswer]
    parts: list[PartAnswer]

    @classmethod
    def of(cls, upload: Upload, endpoint: str | None, **more: Any) -> Self:
        """Return the answer for an upload; ``more`` are fields of subclasses."""
        return cls(
            id=upload.id,
            region=upload.region,
            bucket=upload.bucket,
            endpoint=endpoint,
            filename=upload.filename,
            size=upload.size,
            destinations=[DestinationAnswer(**upload.at[kind].model_dump()) for kind in upload.destinations],
            parts=[PartAnswer(**part.model_dump(exclude={"n"})) for part in upload.parts],
            **more,
        )


class NewUpload(UploadAnswer):
    """An upload that was just created; credentials are told here and nowhere else."""

    credentials: CredentialsDocument


class UploadList(BaseModel):
    """The uploads of an atom, newest first."""

    uploads: list[UploadAnswer]


class PartUrl(BaseModel):
    """Where a part is sent with one PUT."""

    url: str = Field(description="Takes one PUT of the part's bytes; a secret.")
    start: int
    end: int
    expiry: int = Field(description="Epoch seconds.")
