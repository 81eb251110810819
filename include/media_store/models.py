"""References to objects in S3."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ObjectRef"]


class ObjectRef(BaseModel):
    """One version of one object: the ETag makes a replaced object another reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = Field(min_length=3, max_length=63)
    key: str = Field(min_length=1, max_length=1024, description="as S3 keeps it, not URL-encoded")
    etag: str = Field(description="without quotes")
    size: int = Field(ge=0, description="bytes")

    @property
    def uri(self) -> str:
        """``s3://bucket/key`` for people and logs (the key URL-quoted, so that it stays one word)."""
        return f"s3://{self.bucket}/{quote(self.key)}"
