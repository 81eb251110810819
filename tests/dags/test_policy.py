"""What holds for every DAG of this repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "dags").glob("*.py"))
HEAVY = {"boto3", "botocore", "ffmpeg", "numpy", "m3u8"}
# Always at work, and with a sensor of the provider's, which imports the SDK: 0.3 s of a processor each time the file is parsed.
WATCHING = {"ingest_s3"}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(ROOT / "dags")


def test_every_file_is_a_dag_of_its_own_name_that_imports_and_serializes(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == {path.stem for path in FILES}
    for dag in bag.dags.values():
        again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert set(again.task_ids) == set(dag.task_ids)


def test_every_dag_is_owned_tagged_explained_and_ready_to_run(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert dag.tags, dag.dag_id
        assert dag.description, dag.dag_id
        assert len(dag.doc_md or "") > 200, dag.dag_id
        assert dag.is_paused_upon_creation is False, dag.dag_id
        assert (dag.schedule is None) == (dag.dag_id not in WATCHING), dag.dag_id
        assert bool(dag.params) == (dag.dag_id not in WATCHING), f"{dag.dag_id} has no form"
        assert all(dag.params.get_param(name).description for name in dag.params), dag.dag_id
        for task in dag.tasks:
            assert task.owner == "reelflow", task.task_id
            # Attempts to tell a callback are the delivery's own.
            assert task.retries >= 2 or task.task_type == "WebhookOperator", task.task_id
            assert task.retry_policy, task.task_id
            assert task.execution_timeout, task.task_id


def test_dags_are_short() -> None:
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 120, path.name


def test_parsing_needs_no_aws_and_imports_nothing_heavy() -> None:
    # One process for all of them: Airflow itself takes seconds to import.
    code = f"""
import runpy, sys
for path in sys.argv[1:]:
    runpy.run_path(path)
    print(path, *sorted({HEAVY!r} & set(sys.modules)))
"""
    paths = sorted(FILES, key=lambda path: path.stem in WATCHING)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    imported = {Path(path).stem: set(heavy) for path, *heavy in map(str.split, run.stdout.splitlines())}
    assert imported == {path.stem: {"boto3", "botocore"} if path.stem in WATCHING else set() for path in paths}
