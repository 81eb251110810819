"""Links of a task to the AWS console: its Batch job, and that job's log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

__all__ = ["JOB_KEY", "BatchJobLink", "BatchLogLink", "job_url", "log_url"]

JOB_KEY = "batch_job"
DOMAINS = {"aws": "console.aws.amazon.com", "aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


def job_url(address: Mapping[str, str], job_id: str) -> str:
    """Return the page of a job; ``address`` has ``region_name`` and ``aws_partition``."""
    return f"{_console(address, 'batch')}#jobs/ec2/detail/{quote(job_id, safe='')}"


def log_url(address: Mapping[str, str], group: str, stream: str) -> str:
    """Return the page of a log stream; empty where there is none yet."""
    if not stream:
        return ""
    # The console wants names quoted twice, with $ for the per cent sign of the second time.
    group, stream = (quote(quote(text, safe=""), safe="").replace("%", "$") for text in (group, stream))
    return f"{_console(address, 'cloudwatch')}#logsV2:log-groups/log-group/{group}/log-events/{stream}"


class BatchJobLink(BaseOperatorLink):  # type: ignore[misc]  # Airflow is untyped here
    """The page of the job."""

    name = "AWS Batch job"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """See :meth:`BaseOperatorLink.get_link`."""
        known = _known(ti_key)
        return job_url(known, known["job_id"]) if known else ""


class BatchLogLink(BaseOperatorLink):  # type: ignore[misc]  # Airflow is untyped here
    """The page of the log stream of the job's last attempt; the trigger makes it while the task waits."""

    name = "Log stream"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """See :meth:`BaseOperatorLink.get_link`."""
        known = _known(ti_key)
        return log_url(known, known["log_group"], known["log_stream"]) if known else ""


def _known(ti_key: Any) -> dict[str, str]:
    from airflow.sdk.execution_time.xcom import XCom  # noqa: PLC0415  is set when a task starts

    return XCom.get_value(key=JOB_KEY, ti_key=ti_key) or {}


def _console(address: Mapping[str, str], service: str) -> str:
    region = address["region_name"]
    domain = DOMAINS.get(address["aws_partition"], DOMAINS["aws"])
    return f"https://{region}.{domain}/{service}/home?region={region}"
