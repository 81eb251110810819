"""The task of the DAG ``ingest_s3``, with ingest replaced."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from include.errors import StorageError
from include.ingest.models import Dispatched
from include.orchestration.ingest import tasks


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    monkeypatch.setattr(tasks, "record_ingest", lambda fates, backlog: found.append((dict(fates), backlog)))
    monkeypatch.setattr("include.ingest.place.open_ingest", lambda: None)
    monkeypatch.setattr(
        "include.ingest.dispatch.dispatch", lambda ingest, dropped, runs, room: [Dispatched(one, "started") for one in dropped]
    )
    return found


def context(**sight: Any) -> Any:
    return {"ti": SimpleNamespace(xcom_pull=lambda **_: sight)}


def test_it_tells_what_it_did_and_how_many_wait(recorded: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.ingest.reconcile.reconcile", lambda ingest, runs: Counter({"done": 1}))
    done = tasks.dispatch_sight(context(dropped=[["media", "a.mp4", "e"]], overdue=True, backlog=3))
    assert done == {"overdue done": 1, "started": 1}
    assert recorded == [({"started": 1}, 3)]


def test_claims_that_cannot_be_dealt_with_keep_no_object_waiting(recorded: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def away(ingest: object, runs: object) -> Counter[str]:
        raise StorageError("S3 did not answer.")

    monkeypatch.setattr("include.ingest.reconcile.reconcile", away)
    with pytest.raises(StorageError):
        tasks.dispatch_sight(context(dropped=[["media", "a.mp4", "e"]], overdue=True))
    assert recorded == [({"started": 1}, None)]
