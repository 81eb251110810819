"""The health checks of the containers."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.compose.health import check, main
from tests.compose.files import ROOT, services

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def health(**ages: float | None) -> dict[str, Any]:
    """What Airflow's monitor/health says when heartbeats are that many seconds old."""
    beats = {
        name: {f"latest_{name}_heartbeat": None if age is None else (NOW - timedelta(seconds=age)).isoformat()}
        for name, age in ages.items()
    }
    return {"metadatabase": {"status": "healthy"}, **beats}


@pytest.mark.parametrize("name", ["scheduler", "dag_processor", "triggerer"])
@pytest.mark.parametrize(("age", "problem"), [(5, None), (89, None), (200, "200 s old"), (None, "no sign of life")])
def test_a_component_is_well_while_its_heartbeat_is_young(name: str, age: float | None, problem: str | None) -> None:
    found = check(name, fetch=lambda _: health(**{name: age}), now=NOW)
    assert (found is None) == (problem is None)
    assert (problem or "") in (found or "")


def test_a_component_that_airflow_does_not_know_of_yet_is_not_well() -> None:
    assert "no sign of life" in str(check("triggerer", fetch=lambda _: {"triggerer": None}, now=NOW))


def test_the_api_server_is_well_when_its_database_answers() -> None:
    assert check("api-server", fetch=lambda _: health()) is None
    assert check("api-server", fetch=lambda _: {"metadatabase": {"status": "unhealthy"}}) is not None


def test_moto_is_well_once_it_has_its_batch_resources() -> None:
    assert check("aws", fetch=lambda _: {"batch": {"JobQueue": [{}]}}) is None
    assert check("aws", fetch=lambda _: {"sts": {}}) is not None


def test_who_does_not_answer_is_not_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nobody"]) == 1
    assert "nobody" in capsys.readouterr().out


def test_a_check_imports_next_to_nothing() -> None:
    script = (
        "import sys, include.compose.health; print([n for n in ('airflow', 'boto3', 'celery', 'pydantic') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_compose_file_checks_what_this_module_knows() -> None:
    asked = {
        one["healthcheck"]["test"][-1] for one in services().values() if "include.compose.health" in str(one.get("healthcheck"))
    }
    assert asked == {"api-server", "scheduler", "dag_processor", "triggerer", "worker", "aws"}
