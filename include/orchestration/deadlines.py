"""Tells of runs that take too long, while they still run: Airflow's deadline alerts, told from the triggerer.

Airflow counts a deadline from when the run is made, so that one that waits for its turn behind others would count as late, and a
backlog would be as many alerts. So a run has several, each later than the one before, and at each :func:`tell_late` looks: a run
that has begun since the one before is watched until it has been at work for too long, and told of once; one that still waits is
left to the next; one that was there before, or has ended, to nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert

from include.errors import MediaError

if TYPE_CHECKING:
    from include.settings import Settings

__all__ = ["RunCreated", "deadlines", "tell_late"]

logger = logging.getLogger(__name__)

# A run that is watched is looked at so often: one that has ended is not watched any longer, though it was begun again since.
LOOK_SECONDS = 30.0
# Times the seconds of the setting.
_LOOKS = (1, 4, 16, 64)


class RunCreated(BaseDeadlineReference):  # type: ignore[misc]  # Airflow is untyped here
    """The moment at which a run is made; a plugin makes it known to Airflow.

    Airflow's own ``DAGRUN_QUEUED_AT`` is nearly that, but in 3.3 a run with such a deadline before it cannot be cleared: Airflow
    would move the deadline, and takes a stored interval for a number. Every failed run would be one that nobody can retry.
    """

    def _evaluate_with(self, **_: Any) -> datetime:
        return datetime.now(timezone.utc)


def deadlines(settings: Settings, dag_id: str) -> dict[str, Any]:
    """Return the argument of a DAG whose runs must not take too long, if the settings say how long that is."""
    seconds = settings.alert_seconds.get(dag_id)
    if seconds is None or not (settings.notify_sns_topic or settings.notify_email):
        return {}
    return {
        "deadline": [
            DeadlineAlert(
                name=f"{dag_id} at work for {seconds} s",
                reference=RunCreated(),
                interval=timedelta(seconds=seconds * times),
                callback=AsyncCallback(tell_late, kwargs={"seconds": seconds, "gap": seconds * (times - before)}),
            )
            for before, times in zip((0, *_LOOKS), _LOOKS, strict=False)
        ]
    }


async def tell_late(*, seconds: int, gap: int, context: Mapping[str, Any]) -> str:
    """Tell of a run that is at work for too long; called by the triggerer when a deadline has passed. Returns what was done.

    :param seconds: how long it may be at work.
    :param gap: time between the run's deadline before this one (or its being made) and this one, seconds.
    :param context: ``dag_run`` as the REST API shows it, and ``deadline``, both as they were then.
    """
    run = context["dag_run"]
    due = _time(context["deadline"]["deadline_time"])
    if run["state"] != "running" or not run.get("start_date"):
        return f"nothing: the run is {run['state']}"
    started = _time(run["start_date"])
    if not (due - timedelta(seconds=gap) <= started < due):
        # One deadline is responsible for each start: so a run is told of once, and again only when it was begun again.
        return "nothing: another deadline of this run has told of it, or will"
    limit = float(seconds)
    while True:
        state = await asyncio.to_thread(_state, run["dag_id"], run["dag_run_id"])
        if state != "running":
            return f"nothing: the run is {state}"
        if _at_work(started) >= limit:
            longer = max(limit, await asyncio.to_thread(_limit_by_length, run))
            if _at_work(started) >= longer:
                break
            limit = longer
        await asyncio.sleep(min(limit - _at_work(started), LOOK_SECONDS))
    if await asyncio.to_thread(_has_ended_since, run, started):
        return "nothing: the run had ended, and was begun again"
    return await asyncio.to_thread(_tell, run, started, limit)


def _at_work(started: datetime) -> float:
    return (datetime.now(timezone.utc) - started).total_seconds()


def _has_ended_since(run: Mapping[str, Any], started: datetime) -> bool:
    """Tell whether the run's outcome was written after this start; Airflow tells a trigger no run's start, only its state."""
    from include.orchestration.run_problem import ended_at  # noqa: PLC0415

    try:
        ended = ended_at(run["dag_id"], run["dag_run_id"], run.get("conf") or {})
    except MediaError as error:
        logger.warning("The run's outcome cannot be read: %s", error)
        return False
    return ended is not None and ended > started


def _tell(run: Mapping[str, Any], started: datetime, limit: float) -> str:
    from include.orchestration.metrics import record_alert  # noqa: PLC0415
    from include.orchestration.notifications import news_of, send  # noqa: PLC0415

    record_alert(run["dag_id"])
    news = news_of("late", run["dag_id"], run["dag_run_id"], run.get("conf") or {}, started=started, limit=limit)
    return f"told {', '.join(send(news)) or 'nobody'}"


def _limit_by_length(run: Mapping[str, Any]) -> float:
    from include.orchestration.run_problem import film_seconds  # noqa: PLC0415
    from include.settings import get_settings  # noqa: PLC0415

    times = get_settings().alert_lengths
    if not times:
        return 0.0
    try:
        return times * (film_seconds(run["dag_id"], run.get("conf") or {}) or 0.0)
    except MediaError as error:
        # It has not been planned, which may be just why it takes so long.
        logger.info("The film's length is not known: %s", error)
        return 0.0


def _state(dag_id: str, run_id: str) -> str:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415

    state = RuntimeTaskInstance.get_dagrun_state(dag_id, run_id)
    return str(getattr(state, "value", state))


def _time(value: datetime | str) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
