"""The environment of every process of a stack."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from include.embedded.processes import MARKER
from include.embedded.queues import ACCOUNT, queue_name
from include.embedded.stack import HOST, ROOT, Stack
from include.settings import Settings

__all__ = ["environment", "parallelism", "search_path"]

# Container images like to forbid writing bytecode. Each of the many short processes would compile all its imports: a unit's
# start takes three times the processor time then.
NOT_INHERITED = ("AWS_", "PYTHONDONTWRITEBYTECODE")


def search_path() -> str:
    """Return ``PATH`` with this Python's folder first."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    first = str(Path(sys.executable).parent)
    return os.pathsep.join([first, *(folder for folder in folders if folder != first)])


def parallelism(settings: Settings) -> int:
    """Return how many tasks run at once: the pools' and two light ones. LocalExecutor forks that many at its start."""
    return settings.pool_slots + settings.live_slots + 2


def environment(stack: Stack, settings: Settings) -> dict[str, str]:
    """Return the whole environment: the caller's, without its AWS settings, and what the stack sets."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    no_proxy = ",".join(filter(None, [inherited.get("NO_PROXY") or inherited.get("no_proxy"), HOST, "localhost"]))
    return inherited | {
        MARKER: stack.id,
        # Programs that setup installed beside this Python (ffmpeg, where the system has none) are found first.
        "PATH": search_path(),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "AWS_ENDPOINT_URL": stack.aws_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "MOTO_PORT": str(stack.moto_port),
        # Wherever they were said to be, the stack's own moto has them: a name is enough.
        **({"MEDIA_INGEST_QUEUE_URL": _queue_url(stack, settings.ingest_queue_url)} if settings.ingest_queue_url else {}),
        **({"MEDIA_UPLOAD_QUEUE_URL": _queue_url(stack, settings.upload_queue_url)} if settings.upload_queue_url else {}),
        **_batch(settings),
        "MEDIA_API_KEYS": stack.api_keys,
        "MEDIA_SIGNING_KEYS": stack.signing_keys,
        "AIRFLOW_HOME": str(stack.airflow_home),
        "AIRFLOW_CONFIG": str(stack.airflow_home / "airflow.cfg"),
        **{f"AIRFLOW__{name.upper()}": value for name, value in _airflow(stack, settings).items()},
    }


def _batch(settings: Settings) -> dict[str, str]:
    if not settings.batch_units:
        return {}
    # Jobs are containers that reach the loopback servers of this machine. Which units have some is said here wherever it was
    # said, in the environment or in .env: whoever stops the stack goes by what it was started with.
    return {"MOTO_DOCKER_NETWORK_MODE": "host", "MEDIA_BATCH_UNITS": ",".join(settings.batch_units)}


def _queue_url(stack: Stack, url: str) -> str:
    return f"{stack.aws_url}/{ACCOUNT}/{queue_name(url)}"


def _airflow(stack: Stack, settings: Settings) -> dict[str, str]:
    home = stack.airflow_home
    return {
        "core__executor": "LocalExecutor",
        "core__parallelism": str(parallelism(settings)),
        # A run has up to max_units tasks; the pool bounds the units, so the DAG need not.
        "core__max_active_tasks_per_dag": str(parallelism(settings)),
        "core__max_active_runs_per_dag": "16",
        "core__dags_folder": str(ROOT / "dags"),
        "core__plugins_folder": str(ROOT / "plugins"),
        "core__lazy_load_plugins": "True",
        "core__load_examples": "False",
        "core__dags_are_paused_at_creation": "False",
        "core__fernet_key": stack.fernet_key,
        "core__auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "core__simple_auth_manager_users": f"{stack.admin_user}:admin",
        "core__simple_auth_manager_passwords_file": str(home / "passwords.json"),
        "core__execution_api_server_url": f"{stack.airflow_url}/execution/",
        "core__min_serialized_dag_update_interval": "5",
        "database__sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}",
        "database__sql_alchemy_connect_args": "include.embedded.database.CONNECT_ARGS",
        "database__sql_alchemy_connect_args_async": "include.embedded.database.CONNECT_ARGS",
        "logging__base_log_folder": str(home / "logs"),
        "logging__dag_processor_child_process_log_directory": str(home / "logs" / "dag_processor"),
        "logging__colored_console_log": "False",
        "logging__namespace_levels": "botocore=WARNING boto3=WARNING httpx=WARNING",
        "api__host": HOST,
        "api__port": str(stack.airflow_port),
        "api__base_url": stack.airflow_url,
        # One: SQLite has one writer, and another process would cost 200 MB.
        "api__workers": "1",
        "api__secret_key": stack.api_secret,
        "api__expose_config": "False",
        "api_auth__jwt_secret": stack.jwt_secret,
        "api_auth__jwt_issuer": f"reelflow-{stack.id}",
        # The scheduler sleeps this long when there was nothing to do, which is the latency between two tasks. A loop costs some
        # 25 ms of a processor that the encoders want, whether or not there was something to do.
        "scheduler__scheduler_idle_sleep_time": "0.8",
        # A killed scheduler's tasks are taken over after threshold + check interval, a killed task's after timeout + detection.
        "scheduler__job_heartbeat_sec": "4",
        "scheduler__scheduler_heartbeat_sec": "2",
        "scheduler__scheduler_health_check_threshold": "15",
        "scheduler__orphaned_tasks_check_interval": "15",
        "scheduler__task_instance_heartbeat_sec": "5",
        "scheduler__task_instance_heartbeat_timeout": "60",
        "scheduler__task_instance_heartbeat_timeout_detection_interval": "5",
        "scheduler__max_dagruns_per_loop_to_schedule": "20",
        "scheduler__catchup_by_default": "False",
        "triggerer__job_heartbeat_sec": "4",
        # A waiting Batch job is a trigger.
        "triggerer__capacity": str(settings.batch_slots + 50),
        "dag_processor__parsing_processes": "2",
        "dag_processor__refresh_interval": "30",
        # A file that has changed is parsed at once. Parsing all of them every half minute took 4 % of a processor.
        "dag_processor__min_file_process_interval": "180",
        "dag_processor__print_stats_interval": "0",
        "dag_processor__bundle_refresh_check_interval": "5",
        "dag_processor__dag_bundle_storage_path": str(home / "bundles"),
        "workers__min_heartbeat_interval": "3",
        "workers__max_failed_heartbeats": "10",
        # The web server may be restarting: requests of running tasks are tried again for about a minute.
        "workers__execution_api_timeout": "30",
        "workers__execution_api_retries": "10",
        "workers__execution_api_retry_wait_max": "10",
        "usage_data_collection__enabled": "False",
    }
