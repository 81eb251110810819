"""Pools and bounds of units that go to AWS Batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.orchestration.defaults import dag_arguments, fan_out, single
from include.settings import Settings

ROOT = Path(__file__).parents[2]


def settings(**changes: object) -> Settings:
    return Settings(_env_file=None, unit_slots=4, batch_slots=300, **changes)


@pytest.mark.parametrize(
    ("batch_units", "kind", "pool", "slots", "most"),
    [
        ("", "upscale", "media_units", 4, 5),
        ("upscale", "upscale", "media_batch", 1, 300),
        ("upscale", "video", "media_units", 4, 5),
    ],
)
def test_jobs_are_bounded_by_a_pool_of_their_own(batch_units: str, kind: str, pool: str, slots: int, most: int) -> None:
    found = fan_out(settings(batch_units=batch_units), kind, local_slots=4)
    assert found == {"pool": pool, "pool_slots": slots, "max_active_tis_per_dagrun": most}


def test_single_units_leave_the_default_pool_only_for_batch() -> None:
    assert single(settings(), "plan") == {}
    assert single(settings(batch_units="plan"), "plan") == {"pool": "media_batch"}
    assert dag_arguments(settings(batch_units="plan"))["max_active_tasks"] == 300
    assert dag_arguments(settings())["max_active_tasks"] == 202


def test_dags_on_batch_parse_without_aws_and_offer_links() -> None:
    code = (
        "from airflow.dag_processing.dagbag import DagBag;"
        "from airflow.serialization.serialized_objects import DagSerialization as S;"
        # That of dropped objects has a sensor of the provider's, which brings boto3.
        "bags = [DagBag(f'dags/{name}.py') for name in ('transcode', 'super_resolution', 'live', 'upload', 'video_transcode')];"
        "assert not any(bag.import_errors for bag in bags), bags;"
        "dags = {name: S.from_dict(S.to_dict(dag)) for bag in bags for name, dag in bag.dags.items()};"
        "import sys; assert not {'boto3', 'botocore', 'numpy'} & set(sys.modules), 'heavy';"
        "upscale = dags['super_resolution'].get_task('upscale');"
        "print(upscale.pool, upscale.pool_slots, upscale.max_active_tis_per_dagrun, dags['transcode'].get_task('plan').pool,"
        " sorted(link.name for link in upscale.operator_extra_links))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"MEDIA_BATCH_UNITS": "upscale,plan", "MEDIA_BATCH_SLOTS": "50", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.splitlines()[-1] == "media_batch 1 50 media_batch ['AWS Batch job', 'Log stream']"


def test_pools_are_told_as_airflow_imports_them() -> None:
    command = [sys.executable, "-m", "include.orchestration.pools"]
    environment = os.environ | {"MEDIA_UNIT_SLOTS": "4", "MEDIA_BATCH_SLOTS": "50", "MEDIA_LIVE_SLOTS": "3"}
    told = json.loads(subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout)
    assert {name: (pool["slots"], pool["include_deferred"]) for name, pool in told.items()} == {
        "media_units": (5, True), "media_batch": (50, True), "media_live": (3, True),
    }  # fmt: skip
