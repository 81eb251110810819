"""What an operator is told of a run, in words: pure, from what is known of it to a subject and a text."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from include.worker.subjects import Subject

__all__ = ["Message", "RunNews", "message"]

# What SNS takes: ASCII, less than 100 characters, no line breaks.
_LONGEST_SUBJECT = 99
_LONGEST_VALUE = 2000

_REQUEST = "The request is wrong, and so would the next attempt be: correct what the message names, and send it again."
_SOURCE = "The source is at fault: bring a whole one, or one of another format, and send the request again."
_RETRY = (
    "Retry it on the media page (or clear the failed tasks in Airflow): what is done is not done again. "
    "If it fails again, the failed task's log tells more."
)
_ADVICE = {
    "ParameterError": _REQUEST,
    "LimitExceeded": "The message names the limit and its setting: raise it, or bring a smaller source.",
    "Forbidden": _REQUEST,
    "NotFound": "Something that the request names is not there: put it there, then retry the run.",
    "InvalidInputData": _SOURCE,
    "InputNotSupported": _SOURCE,
    "OutputNotSupported": "What was asked for cannot be written: choose another profile or container, and send it again.",
    "StorageDenied": "Look whether the server's credentials for the object store are right and allow it; then retry the run.",
    "StorageError": "Look whether the object store and the tables answer; then retry the run: what is done is not done again.",
    "TargetFailed": "The message names the target: look whether it takes streams, then start the task anew.",
    "TimeOut": "Look whether the machines are overloaded or hang, or raise MEDIA_UNIT_TIMEOUT_SECONDS; then retry the run.",
}
_LATE = (
    "Nothing was stopped. The media page shows whether its units advance: if they do, there is only more to do than expected; "
    "if they do not, look at the machines and at the log of the unit at work, then stop and retry it."
)
_LINKS = ("Media page", "Run in Airflow")
_WORDS = {"failed": "failed", "succeeded": "succeeded", "late": "takes too long"}
_KINDS = {"super_resolution": "super-resolution", "folder": "folder", "ingest": "dropped object"}


@dataclass(frozen=True)
class RunNews:
    """What is known of a run when it is told of.

    :param subject: what it is about; ``None`` where its parameters are not known.
    :param problem: ``{"code", "message"}`` of what failed.
    :param seconds: how long it was, or is, at work.
    :param limit: of one that takes too long: how long it might have taken.
    :param failed_task: the task that failed last, where nothing else is known.
    """

    what: Literal["failed", "succeeded", "late"]
    dag_id: str
    run_id: str
    subject: Subject | None = None
    problem: Mapping[str, Any] | None = None
    seconds: float | None = None
    limit: float | None = None
    failed_task: str | None = None


@dataclass(frozen=True)
class Message:
    """A subject that every place takes, and named lines of text."""

    subject: str
    rows: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """For a topic: a line each."""
        width = max(len(name) for name, _ in self.rows) + 2
        return "\n".join([self.subject, "", *(f"{name + ':':<{width}}{value}" for name, value in self.rows)]) + "\n"

    @property
    def html(self) -> str:
        """For a mail: a table; what comes from outside is text in it, never markup."""
        rows = "".join(
            f'<tr><th align="left" valign="top">{html.escape(name)}&emsp;</th><td>{_shown(name, value)}</td></tr>'
            for name, value in self.rows
        )
        return f"<p><b>{html.escape(self.subject)}</b></p><table>{rows}</table>"


def message(news: RunNews, *, url: str) -> Message:
    """Return what is told; ``url`` is that of Airflow, as operators reach it."""
    subject = news.subject
    kind = _KINDS.get(subject.kind, subject.kind) if subject else news.dag_id
    title = subject.title if subject else news.run_id
    code = str((news.problem or {}).get("code") or "")
    rows = [
        ("Job", f"{kind} ({news.dag_id})"),
        ("Source", title),
        ("Output", subject.destination if subject else None),
        ("Client", subject.client if subject else None),
        ("Provider", subject.content_provider if subject else None),
        ("What failed", _failure(news) if news.what == "failed" else None),
        ("What to do", _advice(news.what, code)),
        ("At work for", _duration(news.seconds) if news.seconds is not None else None),
        ("Expected", f"at most {_duration(news.limit)}" if news.limit is not None else None),
        (_LINKS[0], f"{url}/media/jobs/{quote(news.dag_id, safe='')}/{quote(news.run_id, safe='')}"),
        (_LINKS[1], f"{url}/dags/{quote(news.dag_id, safe='')}/runs/{quote(news.run_id, safe='')}"),
    ]
    reason = f" ({code})" if code and news.what == "failed" else ""
    return Message(
        subject=_subject(f"[Reelflow] {kind} {_WORDS[news.what]}{reason}: ", title),
        rows=tuple((name, _one_line(value)) for name, value in rows if value),
    )


def _failure(news: RunNews) -> str:
    if news.problem:
        return f"{news.problem.get('code') or 'Unknown'}: {news.problem.get('message') or 'no reason is known'}"
    where = f"The task {news.failed_task} failed" if news.failed_task else "The run failed"
    return f"{where}, and left no reason; its log in Airflow tells more."


def _advice(what: str, code: str) -> str | None:
    if what == "succeeded":
        return None
    return _LATE if what == "late" else _ADVICE.get(code, _RETRY)


def _subject(begin: str, title: str) -> str:
    """Return a subject of ASCII characters; of a title that is too long, its end is what tells it from others."""
    title = "".join(letter if " " <= letter <= "~" else "?" for letter in title)
    room = _LONGEST_SUBJECT - len(begin)
    return begin + (title if len(title) <= room else f"...{title[len(title) - room + 3 :]}")


def _one_line(value: str) -> str:
    value = "".join(letter if letter.isprintable() else " " for letter in value)
    return value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}..."


def _shown(name: str, value: str) -> str:
    text = html.escape(value)
    # The addresses of sources and targets are somebody else's: nobody is to follow them by a slip.
    return f'<a href="{text}">{text}</a>' if name in _LINKS and "://" in value else text


def _duration(seconds: float) -> str:
    whole = round(seconds)
    parts = ((whole // 3600, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown) or "0 s"
