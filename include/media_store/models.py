"""References to objects in S3."""

from __future__ import annotations

from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict, Field

from include.errors import ParameterError

__all__ = ["ObjectRef", "object_uri", "parse_uri"]


def object_uri(bucket: str, key: str) -> str:
    """Return ``s3://bucket/key``, the key URL-quoted, so that it stays one word."""
    return f"s3://{bucket}/{quote(key)}"


def parse_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of what :func:`object_uri` wrote; ``ParameterError`` for anything else."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not key:
        raise ParameterError(f"{uri!r} is not of the form s3://bucket/key.")
    return bucket, unquote(key)


class ObjectRef(BaseModel):
    """One version of one object: the ETag makes a replaced object another reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = Field(min_length=3, max_length=63)
    key: str = Field(min_length=1, max_length=1024, description="as S3 keeps it, not URL-encoded")
    etag: str = Field(description="without quotes")
    size: int = Field(ge=0, description="bytes")

    @property
    def uri(self) -> str:
        """``s3://bucket/key`` for people and logs; see :func:`object_uri`."""
        return object_uri(self.bucket, self.key)
