"""Operators are told of failures and of runs that take too long, and what runs are is counted: on a stack that is set up so."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.conftest import Clips
from tests.e2e.stack import RunningStack, await_that, running_stack
from tests.mail import MailServer, mail_server
from tests.telemetry import OtlpServer, otlp_server

pytestmark = [pytest.mark.long, pytest.mark.stack, pytest.mark.xdist_group("stack"), pytest.mark.timeout(900)]

TOPIC = "arn:aws:sns:us-east-1:123456789012:media-told"
LATE_SECONDS = 15


@dataclass
class Told:
    stack: RunningStack
    mail: MailServer
    otlp: OtlpServer
    sqs: Any
    queue: str

    def __post_init__(self) -> None:
        self.published: list[dict[str, Any]] = []

    def notices(self, word: str) -> list[dict[str, Any]]:
        """Return what the topic was sent so far whose subject holds ``word``."""
        answer = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.published.append(json.loads(message["Body"]))
            self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return [notice for notice in self.published if word in notice["Subject"]]

    def mails(self, word: str) -> list[EmailMessage]:
        return [mail for mail in self.mail.mails if word in mail["Subject"]]


@pytest.fixture(scope="module")
def told(tools: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with mail_server() as mail, otlp_server() as otlp:
        settings = {
            "MEDIA_API_KEYS": "ours:e2e-key-of-ours-0123456789",
            "MEDIA_NOTIFY_SNS_TOPIC": TOPIC,
            "MEDIA_NOTIFY_EMAIL": "night@example.test,day@example.test",
            "MEDIA_ALERT_SECONDS": f"upload:{LATE_SECONDS}",
            # However busy the machine is.
            "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
            "MEDIA_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
            "AIRFLOW_CONN_SMTP_DEFAULT": mail.connection,
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }
        with running_stack(tmp_path_factory.mktemp("told") / "state", settings) as stack:
            aws = {"endpoint_url": stack.stack.aws_url, "region_name": "us-east-1"}
            aws |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
            sns, sqs = boto3.client("sns", **aws), boto3.client("sqs", **aws)
            assert sns.create_topic(Name="media-told")["TopicArn"] == TOPIC
            queue = sqs.create_queue(QueueName="media-told")["QueueUrl"]
            sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:media-told")
            yield Told(stack, mail, otlp, sqs, queue)


def transcode(told: Told, source: Path | bytes, name: str) -> tuple[str, str]:
    """Run a transcode to its end; return its run id and state."""
    key = f"told/{name}.mp4"
    if isinstance(source, bytes):
        told.stack.s3.put_object(Bucket=told.stack.bucket, Key=key, Body=source)
    else:
        told.stack.upload(source, key)
    conf = {
        "bucket": told.stack.bucket, "source_key": key, "folder": f"told/{uuid.uuid4().hex}/", "name": "a", "container": "mp4",
        "client": "studio",
    }  # fmt: skip
    run_id = told.stack.trigger("transcode", conf)
    return run_id, told.stack.wait("transcode", run_id, timeout=600)


def test_a_failure_is_told_to_topic_and_mail_a_success_is_not_and_both_are_counted(told: Told, clip: Clips) -> None:
    good, state = transcode(told, clip("two_frames"), "good")
    assert state == "success"
    # Who chooses a file's name must not choose what an operator's mail says of Airflow.
    bad, state = transcode(told, b"no video at all" * 100, "{{ conn.smtp_default.host }} <b>bad</b>")
    assert state == "failed"
    (notice,) = await_that("the topic is told", lambda: told.notices("failed"))
    (mail,) = await_that("mail has come", lambda: told.mails("failed"))
    assert told.published == [notice]
    assert told.mail.mails == [mail]
    assert notice["Subject"] == mail["Subject"]
    assert notice["Subject"].startswith("[Reelflow] transcode failed (InputNotSupported): ")
    text = notice["Message"]
    assert "told/{{ conn.smtp_default.host }} <b>bad</b>.mp4" in text
    assert "Client:         studio" in text
    outcome = next(key for key in told.stack.keys("_reelflow/jobs/") if key.endswith("outcome.json") and bad in read(told, key))
    assert json.loads(read(told, outcome))["error"]["message"] in text
    assert f"{told.stack.stack.airflow_url}/media/jobs/transcode/{bad.replace(':', '%3A').replace('+', '%2B')}" in text
    assert f"{told.stack.stack.airflow_url}/dags/transcode/runs/{bad.replace(':', '%3A').replace('+', '%2B')}" in text
    html = mail.get_body(("html",))
    assert html is not None
    assert "&lt;b&gt;bad&lt;/b&gt;" in html.get_content()
    assert mail["To"] == "night@example.test, day@example.test"
    assert good not in text
    counted(told)


def read(told: Told, key: str) -> str:
    return str(told.stack.s3.get_object(Bucket=told.stack.bucket, Key=key)["Body"].read().decode())


def counted(told: Told) -> None:
    """What the two runs were has come to the collector: from tasks, the scheduler, and the process that told of the failure."""

    def total(name: str, **tags: str) -> float:
        return told.otlp.total(f"airflow.media.{name}", tags)

    def durations(name: str, **tags: str) -> int:
        points = told.otlp.points(f"airflow.media.{name}")
        return sum(point.count for point in points if tags.items() <= point.tags.items())

    await_that("the failed run is counted", lambda: total("runs", kind="transcode", state="failed") == 1)
    await_that("the other one is", lambda: total("runs", kind="transcode", state="done") == 1)
    await_that("both have waited", lambda: durations("run.wait", kind="transcode") == 2)
    await_that("both took a while", lambda: durations("run.duration", kind="transcode") == 2)
    await_that("messages are counted", lambda: total("notifications", state="sent") == 2)
    assert total("frames", kind="video") == 2
    assert total("units", kind="plan", state="done") == 1
    assert total("units", kind="finish", state="done") == 1
    assert total("failures", kind="plan", code="InputNotSupported") == 1
    assert total("cpu_milliseconds", kind="video") > 0
    assert total("bytes_written", kind="finish") > 0
    assert durations("unit.duration", kind="video", backend="local") >= 1


def test_a_run_that_takes_too_long_is_told_once_and_stopped_or_deleted_ones_are_not(told: Told) -> None:
    with told.stack.client() as client:

        def begin(name: str) -> str:
            body = {"filename": f"{name}.mp4", "size": 100, "title": name, "destinations": ["s3Bucket"]}
            answer = client.post(f"/api2/atom/{name}/uploads", json=body)
            assert answer.status_code < 300, answer.text
            return f"upload__{answer.json()['id']}"

        stopped, deleted, late = begin("stopped"), begin("deleted"), begin("late")
        for run_id in (stopped, deleted):
            path = f"/api/v2/dags/upload/dagRuns/{run_id}"
            told.stack.http.patch(path, json={"state": "failed"}).raise_for_status()
        told.stack.http.delete(f"/api/v2/dags/upload/dagRuns/{deleted}").raise_for_status()
    # None of them sends a part. The others' deadlines pass before this one's.
    (notice,) = await_that("the topic is told", lambda: told.notices("too long"), timeout=120)
    (mail,) = await_that("mail has come", lambda: told.mails("too long"))
    assert f"runs/{late}" in notice["Message"]
    assert "Nothing was stopped" in notice["Message"]
    assert told.stack.run("upload", late)["state"] == "running"
    await_that("the alert is counted", lambda: told.otlp.total("airflow.media.alerts", {"kind": "upload"}) == 1)
    # Airflow's own deadline from the queue would refuse this.
    path = "/api/v2/dags/upload/clearTaskInstances"
    body = {"dag_run_id": stopped, "dry_run": False, "only_failed": False}
    told.stack.http.post(path, json=body).raise_for_status()
    again = time.monotonic()
    await_that("it runs again", lambda: told.stack.run("upload", stopped)["state"] == "running")
    told.stack.http.patch(f"/api/v2/dags/upload/dagRuns/{stopped}", json={"state": "failed"}).raise_for_status()
    assert time.monotonic() - again < 3 * LATE_SECONDS
    assert [told.notices("too long"), told.mails("too long")] == [[notice], [mail]]
