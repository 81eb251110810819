"""What operators read."""

from __future__ import annotations

import pytest

from include.orchestration.run_message import RunNews, message
from include.worker.subjects import Subject, subject_of

URL = "https://airflow.example"
SUBJECT = Subject(kind="transcode", title="in/talk.mp4", destination="out/talk.m3u8", client="studio")


def news(**changes: object) -> RunNews:
    known = {"what": "failed", "dag_id": "transcode", "run_id": "transcode__1", "subject": SUBJECT, "seconds": 3723.4}
    return RunNews(**(known | changes))  # type: ignore[arg-type]


def test_a_failure_says_what_why_and_what_to_do() -> None:
    told = message(news(problem={"code": "StorageError", "message": "The store does not answer."}), url=URL)
    assert told.subject == "[Reelflow] transcode failed (StorageError): in/talk.mp4"
    rows = dict(told.rows)
    assert rows["What failed"] == "StorageError: The store does not answer."
    assert rows["What to do"].startswith("Look whether the object store")
    assert (rows["Client"], rows["Source"], rows["Output"]) == ("studio", "in/talk.mp4", "out/talk.m3u8")
    assert rows["At work for"] == "1 h 2 min 3 s"
    assert rows["Media page"] == "https://airflow.example/media/jobs/transcode/transcode__1"
    assert rows["Run in Airflow"] == "https://airflow.example/dags/transcode/runs/transcode__1"
    assert all(f"{name}:" in told.text and value in told.text for name, value in told.rows)


def test_a_failure_of_which_nothing_is_known_names_the_task() -> None:
    rows = dict(message(news(subject=None, failed_task="plan"), url=URL).rows)
    assert rows["What failed"] == "The task plan failed, and left no reason; its log in Airflow tells more."
    assert rows["Source"] == "transcode__1"
    assert "Retry it" in rows["What to do"]


def test_a_success_gives_no_advice_and_a_late_run_says_how_long_it_might_take() -> None:
    assert {"What to do", "What failed"}.isdisjoint(dict(message(news(what="succeeded"), url=URL).rows))
    late = message(news(what="late", limit=60), url=URL)
    assert late.subject == "[Reelflow] transcode takes too long: in/talk.mp4"
    assert dict(late.rows)["Expected"] == "at most 1 min"


@pytest.mark.parametrize(
    "title",
    ["a" * 300, "Gespräch\nSubject: x\r\nBcc: all@example.test", "影片/很长的名字.mp4", "x" * 43, "x" * 44, "\x00\x1b[31m"],
    ids=repr,
)
def test_a_subject_is_one_that_sns_and_mail_take(title: str) -> None:
    told = message(news(subject=Subject(kind="super_resolution", title=title), problem={"code": "InvalidInputData"}), url=URL)
    assert len(told.subject) < 100
    assert told.subject.isascii()
    assert told.subject.isprintable()
    assert all(value.isprintable() for _, value in told.rows)


def test_the_end_of_a_long_name_is_kept() -> None:
    told = message(news(subject=Subject(kind="transcode", title=f"in/{'folder/' * 40}the-film.mp4")), url=URL)
    assert told.subject.endswith("the-film.mp4")


def test_what_comes_from_outside_is_text_in_a_mail_and_its_addresses_are_no_links() -> None:
    title = "<script>alert(1)</script>&.mp4"
    told = message(news(subject=Subject(kind="task", title=title, destination="https://evil.example/runs/x")), url=URL)
    assert "<script>" not in told.html
    assert "&lt;script&gt;" in told.html
    assert 'href="https://evil' not in told.html
    assert 'href="https://airflow.example/media/jobs/transcode/transcode__1"' in told.html


def test_run_ids_are_quoted() -> None:
    rows = dict(message(news(run_id="manual__2026-01-01T00:00:00+00:00/.."), url=URL).rows)
    assert rows["Run in Airflow"].endswith("/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00%2F..")


def test_addresses_are_shown_without_their_secrets() -> None:
    conf = {
        "task_id": "1",
        "client": "c",
        "source": "rtmp://user:pw@host/app/key-12345",
        "targets": ["srt://h:9?passphrase=geheim"],
    }
    told = message(news(subject=subject_of("task", "r", conf)), url=URL)
    assert not [secret for secret in ("pw", "key-12345", "geheim") if secret in told.text + told.html]
