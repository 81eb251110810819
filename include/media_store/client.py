"""The clients of S3, DynamoDB, SQS and STS: where retries, timeouts and addressing are decided, once."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["dynamodb_client", "s3_client", "sqs_client", "sts_client"]

# Retries live here and nowhere above: a second layer would multiply the waiting.
_COMMON: dict[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 5},
    "connect_timeout": 10,
    "read_timeout": 60,
    "max_pool_connections": 32,
    "tcp_keepalive": True,
}


def s3_client(
    session: boto3.session.Session | None = None, *, endpoint_url: str | None = None, signature_version: str | None = None
) -> S3Client:
    """Return a thread-safe S3 client made from the SDK's own configuration (``AWS_ENDPOINT_URL``, ``AWS_PROFILE``, …).

    AWS is addressed by the bucket's host name. A configured endpoint (any host that is not AWS's own) is addressed by path,
    since its buckets seldom have host names, and is not asked for checksums that older S3 servers refuse. A loopback
    endpoint is never reached through a proxy.
    ``session`` has other credentials than the environment's, ``endpoint_url`` is another address than the configured one.
    """
    session = session or boto3.session.Session()
    common = _COMMON | ({"signature_version": signature_version} if signature_version else {})
    # Left to itself the SDK presigns for AWS's global host, which redirects to the bucket's region or refuses: browsers do not
    # follow the redirect of a preflight.
    client = session.client("s3", endpoint_url=endpoint_url, config=Config(**common, s3={"addressing_style": "virtual"}))
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return client
    # Only now is the endpoint known, whichever variable or profile named it; the session keeps what it has loaded.
    return session.client(
        "s3",
        endpoint_url=endpoint_url,
        config=Config(
            **common,
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            proxies={} if _is_loopback(host) else None,
        ),
    )


def dynamodb_client() -> Any:
    """Return a thread-safe DynamoDB client, made as :func:`s3_client` makes its own."""
    return _impatient_client("dynamodb")


def sts_client() -> Any:
    """Return a thread-safe STS client, made as :func:`s3_client` makes its own."""
    return _impatient_client("sts")


def sqs_client() -> Any:
    """Return a thread-safe SQS client, made as :func:`s3_client` makes its own; it may wait 20 s for messages."""
    return _impatient_client("sqs", read_timeout=30)


def _impatient_client(service: Literal["dynamodb", "sqs", "sts"], read_timeout: float = 5) -> Any:
    session = boto3.session.Session()
    # A request of a client waits for each call: rather tell it soon that the service does not answer.
    impatient = {"retries": {"mode": "standard", "total_max_attempts": 3}, "connect_timeout": 2, "read_timeout": read_timeout}
    config = Config(**_COMMON | impatient)
    # As S3's client does where no region is configured: a missing one must not keep the contracts that need no table away.
    region = session.region_name or "us-east-1"
    client = session.client(service, config=config, region_name=region)
    if not _is_loopback(urlsplit(client.meta.endpoint_url).hostname or ""):
        return client
    return session.client(service, config=config.merge(Config(proxies={})), region_name=region)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
