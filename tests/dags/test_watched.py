"""Of which ends of their runs operators are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from include.settings import get_settings

DAGS = Path(__file__).parents[2] / "dags"


@pytest.fixture(autouse=True)
def _tells_all(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MEDIA_NOTIFY_ON", "both")
    monkeypatch.setenv("MEDIA_NOTIFY_EMAIL", "a@example.test")
    get_settings.cache_clear()
    yield
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.mark.parametrize(
    ("dag_id", "tells_success"), [("ingest_s3", False), ("ingest_queue", False), ("transcode", True), ("super_resolution", True)]
)
def test_a_dispatchers_success_is_told_to_nobody(dag_id: str, tells_success: bool) -> None:
    dag = DagBag(DAGS / f"{dag_id}.py").dags[dag_id]
    assert dag.has_on_failure_callback
    assert dag.has_on_success_callback == tells_success
