"""The S3 client that a user of a stack would make."""

from __future__ import annotations

from typing import Any

import boto3

from include.embedded import Stack

__all__ = ["embedded_s3", "s3_at"]


def embedded_s3(stack: Stack) -> Any:
    """Return a client of the stack's object store; its credentials are fixed and public."""
    return s3_at(stack.aws_url, "test", "test")


def s3_at(url: str, access_key: str, secret_key: str) -> Any:
    """Return a client of the object server at ``url``."""
    keys = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
