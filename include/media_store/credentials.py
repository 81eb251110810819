"""What lets a client write the parts of one upload, and nothing else, for a quarter of an hour."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from include.media_store.client import s3_client, sts_client
from include.media_store.errors import translated
from include.media_store.models import object_uri
from include.settings import Settings

__all__ = ["Credentials", "UploadAccess", "session_policy"]


@dataclass(frozen=True)
class Credentials:
    """Temporary credentials of AWS; they are given to the client, and kept and logged nowhere."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expiry: int  # epoch seconds


class UploadAccess:
    """Issues credentials and part URLs. Methods raise ``StorageDenied``, ``NotFound`` or ``StorageError``."""

    def __init__(self, settings: Settings, *, sts: Any = None) -> None:
        self._settings = settings
        self._sts = sts or sts_client()
        # Only signatures of version 4 are taken everywhere, and they name the host: it must be the one that clients use.
        self._signer = s3_client(endpoint_url=settings.upload_endpoint_url or None, signature_version="s3v4")

    @property
    def region(self) -> str:
        """Region of the buckets."""
        return str(self._signer.meta.region_name or "us-east-1")

    @property
    def endpoint(self) -> str | None:
        """Address of S3 for clients; ``None`` for AWS, which they know."""
        url = self._signer.meta.endpoint_url
        host = urlsplit(url).hostname or ""
        return None if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else url

    def credentials(self, bucket: str, key: str, *, name: str) -> Credentials:
        """Return credentials to write the object ``key`` of a bucket, or those that begin with it where it ends with ``*``.

        ``name`` is what AWS's log calls their holder: at most 64 characters.
        """
        role = self._settings.upload_role_arn
        with translated("write", object_uri(bucket, key)):
            issued = self._sts.assume_role(
                RoleArn=role,
                RoleSessionName=name,
                DurationSeconds=self._settings.upload_credential_seconds,
                Policy=session_policy(bucket, key, partition=role.split(":")[1]),
            )["Credentials"]
        return Credentials(
            access_key=issued["AccessKeyId"],
            secret_key=issued["SecretAccessKey"],
            session_token=issued["SessionToken"],
            expiry=int(issued["Expiration"].timestamp()),
        )

    def part_url(self, bucket: str, key: str) -> str:
        """Return a URL that takes a PUT of one object for as long as credentials live: a secret."""
        with translated("write", object_uri(bucket, key)):
            return str(
                self._signer.generate_presigned_url(
                    "put_object",
                    Params={"Bucket": bucket, "Key": key},
                    ExpiresIn=self._settings.upload_credential_seconds,
                )
            )


def session_policy(bucket: str, key: str, partition: str = "aws") -> str:
    """Return the policy that leaves of a role's rights the writing of ``key`` (which may end with ``*``)."""
    statement = {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": [f"arn:{partition}:s3:::{bucket}/{key}"]}
    # Without spaces: Ceph refuses a policy that has any.
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))
