"""Health checks of docker-compose.yaml: ``python -m include.compose.health scheduler``; exit status 0 where it is well.

They run every few seconds in every container, so they import next to nothing: Airflow's own ``airflow jobs check`` costs four
seconds of a processor each time. A component is well when its heartbeat in the database is young, which the API server tells; a
worker when it answers Celery's ping.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

__all__ = ["check", "main"]

COMPONENTS = ("scheduler", "dag_processor", "triggerer")
# Younger than this is well. The API server's own verdict is stricter about the scheduler, and knows no time for others.
OLDEST_HEARTBEAT = timedelta(seconds=90)
API_SERVER = "http://api-server:8080"
MOTO = "http://localhost:5000"

Fetch = Callable[[str], Mapping[str, Any]]


def main(argv: list[str] | None = None) -> int:
    """Check what the argument names and return the exit status; the reason goes to the engine's record of the check."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        problem = check(arguments[0])
    except Exception as error:  # whatever it is: who cannot be asked is not well
        problem = f"{type(error).__name__}: {error}"
    if problem:
        print(problem)
    return 1 if problem else 0


def check(name: str, *, fetch: Fetch | None = None, now: datetime | None = None) -> str | None:
    """Return what is wrong with the component ``name``, or ``None``; raises :class:`OSError` where nobody answers."""
    fetch = fetch or _fetch
    if name == "worker":
        return _ping()
    if name == "aws":
        return None if fetch(f"{MOTO}/moto-api/data.json").get("batch") else "moto has no Batch resources yet"
    if name == "api-server":
        health = fetch("http://localhost:8080/api/v2/monitor/health")
        return None if health["metadatabase"]["status"] == "healthy" else "the database does not answer"
    if name in COMPONENTS:
        return _heart(name, fetch(f"{API_SERVER}/api/v2/monitor/health"), now or datetime.now(timezone.utc))
    raise ValueError(f"nobody knows {name!r}; known are api-server, aws, worker, {', '.join(COMPONENTS)}")


def _heart(name: str, health: Mapping[str, Any], now: datetime) -> str | None:
    beat = (health.get(name) or {}).get(f"latest_{name}_heartbeat")
    if beat is None:
        return f"{name} has given no sign of life"
    age = now - datetime.fromisoformat(beat)
    return f"{name}'s last heartbeat is {age.total_seconds():.0f} s old" if age > OLDEST_HEARTBEAT else None


def _ping() -> str | None:
    # Without Airflow's app, whose import takes seconds: the ping needs the broker alone.
    from celery import Celery  # noqa: PLC0415  of all checks this one alone wants it

    name = f"celery@{socket.gethostname()}"
    with Celery(broker=os.environ["AIRFLOW__CELERY__BROKER_URL"], set_as_current=False) as app:
        answers = app.control.ping(destination=[name], timeout=15)
    return None if any(name in answer for answer in answers) else f"{name} does not answer"


def _fetch(url: str) -> Mapping[str, Any]:
    with urllib.request.urlopen(url, timeout=8) as answer:  # noqa: S310  the addresses above
        document = json.load(answer)
    return document if isinstance(document, dict) else {}


if __name__ == "__main__":
    sys.exit(main())
