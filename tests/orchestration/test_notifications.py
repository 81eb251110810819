"""Who is told, through Airflow's notifiers, and what does not hold up a dag-processor."""

from __future__ import annotations

import json
import socket
import threading
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from include.orchestration import notifications, run_problem
from include.orchestration.defaults import watched
from include.orchestration.notifications import callbacks, send, tell_failure, tell_success
from include.orchestration.run_message import RunNews
from include.settings import Settings
from tests.mail import mail_server
from tests.servers import moto

TOPIC = "arn:aws:sns:eu-west-1:123456789012:told"
NEWS = RunNews(what="failed", dag_id="transcode", run_id="{{ 7 * 7 }}")


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **changes)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "_silent_until", {})
    # However busy the machine is.
    monkeypatch.setattr(notifications, "ANSWER_SECONDS", 120.0)


def use(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    monkeypatch.setattr(notifications, "get_settings", lambda: settings(**changes))


@pytest.mark.parametrize(
    ("notify_on", "names"),
    [
        ("failure", {"on_failure_callback"}),
        ("success", {"on_success_callback"}),
        ("both", {"on_failure_callback", "on_success_callback"}),
    ],
)
def test_a_dag_has_the_callbacks_that_are_wanted(notify_on: str, names: set[str]) -> None:
    assert set(callbacks(settings(notify_on=notify_on, notify_email=("a@example.test",)))) == names
    assert set(callbacks(settings(notify_on=notify_on, notify_sns_topic=TOPIC))) == names
    # Otherwise Airflow would have the dag-processor call for nothing at each end of a run.
    assert callbacks(settings(notify_on=notify_on)) == {}


@pytest.mark.parametrize(
    ("notify_on", "names"), [("failure", {"on_failure_callback"}), ("success", set()), ("both", {"on_failure_callback"})]
)
def test_of_what_dispatches_only_failures_are_told(notify_on: str, names: set[str]) -> None:
    found = watched(settings(notify_on=notify_on, notify_email=("a@example.test",)), "ingest_s3", dispatches=True)
    assert set(found) == names


def test_topic_and_mail_get_the_same_words_and_no_template_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    with moto() as url, mail_server() as mail:
        for name, value in {
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1", "AIRFLOW_CONN_SMTP_DEFAULT": mail.connection,
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        sns, sqs = (boto3.client(name, region_name="eu-west-1") for name in ("sns", "sqs"))
        assert sns.create_topic(Name="told")["TopicArn"] == TOPIC
        queue = sqs.create_queue(QueueName="told")["QueueUrl"]
        sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint="arn:aws:sqs:eu-west-1:123456789012:told")
        use(monkeypatch, notify_sns_topic=TOPIC, notify_email=("a@example.test", "b@example.test"))
        assert sorted(send(NEWS)) == ["email", "sns"]
        (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    notice, (got,) = json.loads(message["Body"]), mail.mails
    assert notice["Subject"] == got["Subject"] == "[Reelflow] transcode failed: {{ 7 * 7 }}"
    assert "{{ 7 * 7 }}" in notice["Message"]
    assert got["To"] == "a@example.test, b@example.test"
    assert got["From"] == "reelflow@example.test"


def test_a_place_that_does_not_answer_is_not_waited_for_and_then_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notifications, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "a@example.test", "timeout": 60}
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": silent.getsockname()[1], "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection | {"password": "geheim"}))
        use(monkeypatch, notify_email=("a@example.test",))
        assert send(NEWS) == []
        assert "no answer in 0.5 s" in caplog.text
        asked = threading.active_count()
        assert send(NEWS) == []
        assert threading.active_count() == asked, "it was asked again"
    assert "is not asked" in caplog.text
    assert "geheim" not in caplog.text


def test_a_place_that_refuses_is_no_error_and_costs_the_other_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with mail_server() as mail:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", mail.connection)
        monkeypatch.setattr(notifications, "_topic", lambda *_: lambda _: 1 / 0)
        use(monkeypatch, notify_sns_topic=TOPIC, notify_email=("a@example.test",))
        assert send(NEWS) == ["email"]
    assert "sns: failed (ZeroDivisionError)" in caplog.text


# -- what a run's end tells


def context(**changes: Any) -> dict[str, Any]:
    began = datetime.now(timezone.utc) - timedelta(seconds=90)
    conf = {"bucket": "media", "source_key": "in/a.mp4", "folder": "out/", "name": "a", "container": "mp4", "client": "studio"}
    run = SimpleNamespace(run_id="r", conf=conf, start_date=began, end_date=None)
    return {
        "dag": SimpleNamespace(dag_id="transcode"), "run_id": "r", "dag_run": run, "params": {},
        "ti": SimpleNamespace(task_id="report"),
    } | changes  # fmt: skip


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[RunNews]:
    found: list[RunNews] = []
    monkeypatch.setattr(notifications, "send", found.append)
    return found


def test_a_failure_has_the_reason_that_its_outcome_gives(monkeypatch: pytest.MonkeyPatch, sent: list[RunNews]) -> None:
    problem = {"code": "InvalidInputData", "message": "It is empty."}
    monkeypatch.setattr(run_problem, "problem_of", lambda *_: problem)
    tell_failure(context())
    (news,) = sent
    assert (news.problem, news.failed_task) == (problem, "report")
    assert news.subject is not None
    assert (news.subject.title, news.subject.client, news.subject.destination) == ("in/a.mp4", "studio", "out/a.mp4")
    assert 89 < (news.seconds or 0) < 900


def test_one_that_a_client_has_stopped_is_no_failure(monkeypatch: pytest.MonkeyPatch, sent: list[RunNews]) -> None:
    monkeypatch.setattr(run_problem, "problem_of", lambda *_: {"code": "Cancelled", "message": "Stopped."})
    tell_failure(context())
    assert sent == []


def test_documents_that_cannot_be_read_leave_the_rest_to_be_told(monkeypatch: pytest.MonkeyPatch, sent: list[RunNews]) -> None:
    monkeypatch.setattr(run_problem, "problem_of", lambda *_: 1 / 0)
    tell_failure(context())
    assert [(news.problem, news.run_id) for news in sent] == [(None, "r")]


def test_a_run_of_which_airflow_gives_no_task_is_told_by_its_id(sent: list[RunNews]) -> None:
    tell_failure({"dag": SimpleNamespace(dag_id="transcode"), "run_id": "r", "reason": "timed_out"})
    assert [(news.run_id, news.subject, news.seconds) for news in sent] == [("r", None, None)]


def test_a_success_reads_nothing(monkeypatch: pytest.MonkeyPatch, sent: list[RunNews]) -> None:
    monkeypatch.setattr(run_problem, "problem_of", lambda *_: pytest.fail("read"))
    tell_success(context())
    assert [(news.what, news.failed_task) for news in sent] == [("succeeded", None)]


def test_a_callback_never_raises(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(notifications, "news_of", lambda *_, **__: 1 / 0)
    tell_failure(context())
    tell_failure({})
    assert caplog.text.count("was not told") == 2


def test_the_outcome_of_another_attempt_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(timezone.utc)
    outcome = SimpleNamespace(run_id="r", finished_at=now, error={"code": "x"})
    monkeypatch.setattr(run_problem, "job_of", lambda *_: SimpleNamespace(read_outcome=lambda: outcome))
    assert run_problem.problem_of("transcode", "r", {}, now - timedelta(seconds=5)) == {"code": "x"}
    assert run_problem.problem_of("transcode", "r", {}, now + timedelta(seconds=5)) is None
    assert run_problem.problem_of("transcode", "another", {}, None) is None
