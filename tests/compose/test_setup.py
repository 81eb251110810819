"""The init job, against moto; Airflow's command line is a fake here and real in the stack's own test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from include.compose import templates
from include.compose.aws import job_environment
from include.compose.setup import make_airflow, make_buckets, make_tables
from tests.compose.files import ROOT, compose, services
from tests.servers import S3Server

STORAGE = ROOT / "infra/storage.yaml"
TABLES = ROOT / "infra/tables.yaml"


def test_buckets_are_made_once_and_let_browsers_read_etags(s3: S3Server) -> None:
    client = boto3.client("s3", endpoint_url=s3.endpoint)
    rules = templates.cors_rules(templates.load(STORAGE), "UploadBucket")
    for _ in range(2):
        make_buckets(client, {"compose-media": rules, "compose-logs": []})
    kept = client.get_bucket_cors(Bucket="compose-media")["CORSRules"]
    assert any("ETag" in rule["ExposeHeaders"] for rule in kept)
    assert {bucket["Name"] for bucket in client.list_buckets()["Buckets"]} >= {"compose-media", "compose-logs"}


def test_a_server_that_knows_no_cors_has_its_bucket_all_the_same(s3: S3Server, caplog: pytest.LogCaptureFixture) -> None:
    client = boto3.client("s3", endpoint_url=s3.endpoint)
    make_buckets(client, {"compose-wrong": [{"AllowedMethods": ["NONSENSE"], "AllowedOrigins": ["*"]}]})
    client.head_bucket(Bucket="compose-wrong")
    assert "were not set" in caplog.text


def test_tables_are_those_of_the_template_and_made_once(s3: S3Server) -> None:
    client = boto3.client("dynamodb", endpoint_url=s3.endpoint)
    wanted = templates.tables(templates.load(TABLES))
    names = [arguments["TableName"] for arguments, _ in wanted]
    assert names
    assert all(name.startswith("reelflow-") for name in names)
    for _ in range(2):
        make_tables(client, wanted)
    assert set(names) <= set(client.list_tables()["TableNames"])
    for arguments, expiry in wanted:
        table = client.describe_table(TableName=arguments["TableName"])["Table"]
        assert table["KeySchema"] == arguments["KeySchema"]
        described = client.describe_time_to_live(TableName=arguments["TableName"])["TimeToLiveDescription"]
        assert described.get("AttributeName") == expiry


class Commands:
    """Keeps the command lines instead of running them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.pools: dict[str, Any] = {}

    def __call__(self, *command: str) -> None:
        self.lines.append(" ".join(command))
        if command[:2] == ("pools", "import"):
            self.pools = json.loads(Path(command[2]).read_text())


def test_airflow_is_migrated_before_anything_is_put_into_it() -> None:
    run = Commands()
    make_airflow("media-api", "s3cret", run=run)
    assert run.lines[0] == "db migrate"
    assert run.pools["media_units"]["include_deferred"] is True
    administrator = next(line for line in run.lines if "--username admin " in line)
    assert "--role Admin" in administrator
    assert administrator.endswith("--password s3cret")
    contracts = next(line for line in run.lines if "--username media-api" in line)
    assert "--role User" in contracts
    assert "s3cret" not in contracts


def test_the_contracts_may_act_as_the_administrator_where_that_is_configured() -> None:
    run = Commands()
    make_airflow("admin", "s3cret", run=run)
    assert sum("users create" in line for line in run.lines) == 1


def test_a_template_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("- 1\n")
    with pytest.raises(TypeError, match=r"list\.yaml"):
        templates.load(path)


def test_jobs_get_what_reaches_the_objects_and_nothing_of_airflow() -> None:
    given: dict[str, Any] = {name: value or "" for name, value in services()["aws"]["environment"].items()}
    environment = job_environment(given | {"AIRFLOW__CORE__FERNET_KEY": "x", "MEDIA_API_KEYS": "a:b"})
    assert environment["AWS_ENDPOINT_URL_S3"] == compose()["x-airflow"]["environment"]["AWS_ENDPOINT_URL_S3"]
    assert environment["AWS_ACCESS_KEY_ID"] == given["JOB_ACCESS_KEY"]
    assert not [name for name in environment if name.startswith(("AIRFLOW", "MEDIA_API"))]
    assert all(environment.values())
