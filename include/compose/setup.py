"""The init job of docker-compose.yaml: makes what is missing, and changes nothing that is there but the slots of the pools.

Buckets with CORS, DynamoDB tables, Airflow's database, pools, the first administrator, and the user in whose name the HTTP
contracts act, which has no password that anybody knows. It may run any number of times.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from include.compose import templates
from include.media_store.client import s3_client
from include.orchestration import pools
from include.settings import Settings

__all__ = ["main", "make_airflow", "make_buckets", "make_tables"]

logger = logging.getLogger(__name__)

INFRA = Path(__file__).resolve().parents[2] / "infra"
THERE_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists", "ResourceInUseException"}

Run = Callable[..., None]


def main() -> int:
    """Make everything; exit status 0 when it is there."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    settings = Settings()
    media = sorted({settings.bucket, *settings.buckets, settings.upload_bucket or settings.bucket})
    admin = boto3.session.Session(
        aws_access_key_id=os.environ["OBJECTS_ADMIN_ACCESS_KEY"], aws_secret_access_key=os.environ["OBJECTS_ADMIN_SECRET_KEY"]
    )
    s3 = s3_client(admin)
    rules = templates.cors_rules(templates.load(INFRA / "storage.yaml"), "MediaBucket")
    upload_rules = templates.cors_rules(templates.load(INFRA / "storage.yaml"), "UploadBucket")
    # One bucket serves both here, so it has both's rules; logs are for nobody's browser.
    make_buckets(s3, dict.fromkeys(media, rules + upload_rules) | {os.environ.get("LOGS_BUCKET", "airflow-logs"): []})
    make_tables(boto3.client("dynamodb"), templates.tables(templates.load(INFRA / "tables.yaml")))
    make_airflow(settings.airflow_user, os.environ["AIRFLOW_ADMIN_PASSWORD"], run=_airflow)
    return 0


def make_buckets(s3: Any, buckets: Mapping[str, list[dict[str, Any]]]) -> None:
    """Make the buckets that are missing, and set their CORS rules where the server knows such."""
    for bucket, rules in buckets.items():
        _unless_there(f"bucket {bucket}", partial(s3.create_bucket, Bucket=bucket))
        if rules:
            try:
                s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
            except ClientError as error:
                logger.warning("CORS rules of bucket %s were not set: %s", bucket, error)


def make_tables(dynamodb: Any, tables: Iterable[tuple[dict[str, Any], str | None]]) -> None:
    """Make the tables that are missing."""
    for arguments, expiry in tables:
        name = arguments["TableName"]
        made = _unless_there(f"table {name}", partial(dynamodb.create_table, **arguments))
        if made and expiry:
            dynamodb.get_waiter("table_exists").wait(TableName=name)
            specification = {"Enabled": True, "AttributeName": expiry}
            dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=specification)


def make_airflow(api_user: str, admin_password: str, *, run: Run) -> None:
    """Migrate the database and make pools and users; ``run`` is Airflow's command line, and raises where a command fails."""
    run("db", "migrate")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pools.json"
        path.write_text(json.dumps(pools.document()))
        run("pools", "import", str(path))
    names = ("--firstname", "Reelflow", "--lastname")
    admin = ("--username", "admin", "--role", "Admin", "--email", "admin@reelflow.invalid", *names, "administrator")
    run("users", "create", *admin, "--password", admin_password)
    # The role User may trigger, read, clear and delete runs, and nothing else that the contracts do not need.
    contracts = ("--username", api_user, "--role", "User", "--email", f"{api_user}@reelflow.invalid", *names, "HTTP contracts")
    if api_user != "admin":
        run("users", "create", *contracts, "--use-random-password")


def _unless_there(what: str, make: Callable[[], object]) -> bool:
    try:
        make()
    except ClientError as error:
        if error.response["Error"]["Code"] not in THERE_ALREADY:
            raise
        logger.info("%s is there", what)
        return False
    logger.info("made %s", what)
    return True


def _airflow(*command: str) -> None:
    # In this process: importing Airflow takes seconds of a processor, five commands would do so five times. And a password
    # that is an argument of no process is in no list of processes.
    from airflow.cli import cli_parser  # noqa: PLC0415  wants the settings that are made by then

    logger.info("+ airflow %s …", " ".join(command[:2]))
    arguments = cli_parser.get_parser().parse_args(command)
    arguments.func(arguments)


if __name__ == "__main__":
    sys.exit(main())
