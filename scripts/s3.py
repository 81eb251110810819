"""The S3 client that a user of the embedded stack would make."""

from __future__ import annotations

from typing import Any

import boto3

from include.embedded import Stack

__all__ = ["embedded_s3"]


def embedded_s3(stack: Stack) -> Any:
    """Return a client of the stack's object store; its credentials are fixed and public."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("s3", endpoint_url=stack.aws_url, region_name="us-east-1", **keys)
