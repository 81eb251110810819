"""The clients of S3 and DynamoDB: where retries, timeouts and addressing are decided, once."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["dynamodb_client", "s3_client"]

# Retries live here and nowhere above: a second layer would multiply the waiting.
_COMMON: dict[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 5},
    "connect_timeout": 10,
    "read_timeout": 60,
    "max_pool_connections": 32,
    "tcp_keepalive": True,
}


def s3_client(session: boto3.session.Session | None = None) -> S3Client:
    """Return a thread-safe S3 client made from the SDK's own configuration (``AWS_ENDPOINT_URL``, ``AWS_PROFILE``, …).

    A configured endpoint (any host that is not AWS's own) is addressed by path, since its buckets seldom have host names,
    and is not asked for checksums that older S3 servers refuse. A loopback endpoint is never reached through a proxy.
    ``session`` has other credentials than the environment's.
    """
    session = session or boto3.session.Session()
    client = session.client("s3", config=Config(**_COMMON))
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return client
    # Only now is the endpoint known, whichever variable or profile named it; the session keeps what it has loaded.
    return session.client(
        "s3",
        config=Config(
            **_COMMON,
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            proxies={} if _is_loopback(host) else None,
        ),
    )


def dynamodb_client() -> Any:
    """Return a thread-safe DynamoDB client, made as :func:`s3_client` makes its own."""
    session = boto3.session.Session()
    # A request of a client waits for each call: rather tell it soon that the table does not answer.
    impatient = {"retries": {"mode": "standard", "total_max_attempts": 3}, "connect_timeout": 2, "read_timeout": 5}
    config = Config(**_COMMON | impatient)
    client = session.client("dynamodb", config=config)
    if not _is_loopback(urlsplit(client.meta.endpoint_url).hostname or ""):
        return client
    return session.client("dynamodb", config=config.merge(Config(proxies={})))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
