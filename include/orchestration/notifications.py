"""Tells how runs end: callbacks of DAGs, which Airflow's dag-processor calls, and the places that are told.

A callback runs in the process that parses its DAG's file, after the run's state is settled: it cannot fail or hold up a run. It
could hold up the parsing, which Airflow ends after ``dag_file_processor_timeout`` (50 s), and with it what others tell. No
place is waited for longer than :data:`ANSWER_SECONDS`, and one that did not answer is left alone for :data:`SILENT_SECONDS`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk.definitions.context import Context

from include.errors import Cancelled, MediaError
from include.orchestration.metrics import record_notification
from include.settings import Settings, get_settings

if TYPE_CHECKING:
    from include.orchestration.run_message import Message, RunNews

__all__ = ["callbacks", "news_of", "send", "tell_failure", "tell_success"]

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 15.0
SILENT_SECONDS = 60.0

_silent_until: dict[str, float] = {}


def callbacks(settings: Settings, *, of_success: bool = True) -> dict[str, Any]:
    """Return the arguments of a DAG whose runs are told of; none where nobody is to be told, so that nothing is called.

    :param of_success: whether a success of this DAG is ever worth a message.
    """
    if not (settings.notify_sns_topic or settings.notify_email):
        return {}
    wanted: dict[str, Any] = {}
    if settings.notify_on in {"failure", "both"}:
        wanted["on_failure_callback"] = tell_failure
    if of_success and settings.notify_on in {"success", "both"}:
        wanted["on_success_callback"] = tell_success
    return wanted


def tell_failure(context: Context) -> None:
    """Tell that a run has failed; one that a client has stopped is no failure. Never raises."""
    _tell("failed", context)


def tell_success(context: Context) -> None:
    """Tell that a run has succeeded. Never raises."""
    _tell("succeeded", context)


def _tell(what: Literal["failed", "succeeded"], context: Mapping[str, Any]) -> None:
    try:
        run, ti = context.get("dag_run"), context.get("ti")
        news = news_of(
            what,
            context["dag"].dag_id,
            run.run_id if run is not None else context["run_id"],
            # Where no task tells of the run, Airflow gives neither its parameters nor its times.
            dict(context.get("params") or {}) | (run.conf or {}) if run is not None else {},
            started=run.start_date if run is not None else None,
            ended=getattr(run, "end_date", None),
            failed_task=ti.task_id if ti is not None and what == "failed" else None,
        )
        if (news.problem or {}).get("code") == Cancelled.code:
            logger.info("Run %s was stopped: nobody is told.", news.run_id)
            return
        send(news)
    except Exception:
        logger.exception("A run's end was not told")


def news_of(
    what: Literal["failed", "succeeded", "late"],
    dag_id: str,
    run_id: str,
    conf: Mapping[str, Any],
    *,
    started: datetime | None = None,
    ended: datetime | None = None,
    limit: float | None = None,
    failed_task: str | None = None,
) -> RunNews:
    """Return what is known of a run, with what its documents say of its failure."""
    from include.orchestration.run_message import RunNews  # noqa: PLC0415  DAG files import this module
    from include.orchestration.run_problem import problem_of  # noqa: PLC0415
    from include.worker.subjects import kind_of, subject_of  # noqa: PLC0415

    kind = kind_of(dag_id, conf)
    return RunNews(
        what=what,
        dag_id=dag_id,
        run_id=run_id,
        subject=subject_of(kind, run_id, conf) if kind and conf else None,
        problem=_within("the documents", lambda: problem_of(dag_id, run_id, conf, started)) if what == "failed" else None,
        seconds=((ended or datetime.now(timezone.utc)) - started).total_seconds() if started else None,
        limit=limit,
        failed_task=failed_task,
    )


def send(news: RunNews) -> list[str]:
    """Send to all places that the settings name, side by side; return those that took it. Never raises."""
    from airflow.sdk.configuration import conf  # noqa: PLC0415

    from include.orchestration.run_message import message  # noqa: PLC0415

    settings = get_settings()
    told = message(news, url=conf.get("api", "base_url", fallback="").rstrip("/"))
    places: dict[str, Callable[[], Callable[[Any], None]]] = {}
    if settings.notify_sns_topic:
        places["sns"] = lambda: _topic(told, settings.notify_sns_topic)
    if settings.notify_email:
        places["email"] = lambda: _mail(told, settings.notify_email)
    took: list[str] = []

    def tell(place: str, prepare: Callable[[], Callable[[Any], None]]) -> None:
        # Not by calling the notifier: that would render the texts as templates, and file names may hold what reads connections.
        try:
            notify = prepare()
            taken = _within(place, lambda: notify({}) or True) is True
        except Exception as error:
            logger.warning("%s: cannot be told (%s)", place, type(error).__name__)
            taken = False
        record_notification(place, "sent" if taken else "failed")
        if taken:
            took.append(place)

    threads = [threading.Thread(target=tell, args=item, name=f"notify {item[0]}", daemon=True) for item in places.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logger.info("%s: told %s", told.subject, " and ".join(took) or "nobody")
    return took


def _within(place: str, call: Callable[[], Any]) -> Any:
    """Return what ``call`` returns, or ``None`` where it fails or takes too long; then ``place`` is left alone for a while."""
    if time.monotonic() < _silent_until.get(place, 0.0):
        logger.warning("%s: did not answer a moment ago, and is not asked", place)
        return None
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(call())
        except MediaError as error:
            logger.warning("%s: %s", place, error)
            answers.append(None)
        except Exception as error:
            # Only its kind: what a library says may repeat addresses and passwords.
            logger.warning("%s: failed (%s)", place, type(error).__name__)
            logger.debug("%s", place, exc_info=True)
            answers.append(None)

    # A daemon: names that are not resolved and connections that are not answered can be left, and never ended.
    thread = threading.Thread(target=ask, name=f"ask {place}", daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if not answers:
        _silent_until[place] = time.monotonic() + SILENT_SECONDS
        logger.warning("%s: no answer in %g s", place, ANSWER_SECONDS)
        return None
    return answers[0]


def _topic(told: Message, topic: str) -> Callable[[Any], None]:
    from airflow.providers.amazon.aws.notifications.sns import SnsNotifier  # noqa: PLC0415

    region = topic.split(":")[3] if topic.count(":") >= 5 else None
    notifier = SnsNotifier(target_arn=topic, subject=told.subject, message=told.text, region_name=region)
    return notifier.notify  # type: ignore[no-any-return]  # Airflow is untyped here


def _mail(told: Message, addresses: tuple[str, ...]) -> Callable[[Any], None]:
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier  # noqa: PLC0415

    notifier = SmtpNotifier(to=list(addresses), subject=told.subject, html_content=told.html)
    return notifier.notify  # type: ignore[no-any-return]
