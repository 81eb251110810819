"""The first and the last unit of a transcode run: of a request by its parameters, of a task by its conf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.errors import NotFound, ParameterError
from include.media_store.objects import S3ObjectStore
from include.orchestration.params import form
from include.orchestration.transcode import finish_unit, job_of, plan_unit, request_of
from include.settings import get_settings
from include.worker.execute import load_unit
from include.worker.models import PlanTask, TranscodeRequest
from include.worker.task_request import TaskReference
from tests.orchestration.fakes import context_of
from tests.servers import s3_server


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3ObjectStore]:
    with s3_server() as server:
        monkeypatch.setenv("MEDIA_BUCKET", server.bucket)
        get_settings.cache_clear()
        yield S3ObjectStore()
    get_settings.cache_clear()


def reference(**fields: Any) -> TaskReference:
    return TaskReference(
        **{"bucket": get_settings().bucket, "client": "acme", "task_id": "3125", "source": "s3://b/a.mp4"} | fields
    )


def context(conf: dict[str, Any]) -> dict[str, Any]:
    """As Airflow has it: the form's defaults beside the conf."""
    defaults = {name: field.value for name, field in form(TranscodeRequest, exclude={"client"}).items() if field.has_value}
    return context_of(conf=conf) | {"params": defaults}


def test_a_tasks_units_are_those_of_its_job_and_its_request_stays_as_the_api_wrote_it(store: S3ObjectStore) -> None:
    task = reference()
    given = context(task.model_dump(mode="json"))
    unit = load_unit(store, plan_unit(given))
    assert isinstance(unit.task, PlanTask)
    assert unit.task.request == task
    assert finish_unit(given).endswith(f"jobs/{task.job_id}/units/unit-finish.json")
    job = job_of({"container": "hls"} | task.model_dump(mode="json"))
    assert job is not None
    assert job.job_id == task.job_id
    assert store.head(job.bucket, job.request_key) is None


def test_a_transcodes_parameters_are_no_tasks(store: S3ObjectStore) -> None:
    conf = {"bucket": get_settings().bucket, "source_key": "a.mp4", "folder": "out/", "name": "a"}
    assert request_of(context(conf)) == TranscodeRequest(**conf)


@pytest.mark.parametrize(
    ("fields", "error", "name"),
    [({"task_id": "x"}, ParameterError, "task_id: "), ({"bucket": "someone-elses"}, NotFound, "bucket: ")],
    ids=["task", "bucket"],
)
def test_a_wrong_task_is_named(store: S3ObjectStore, fields: dict[str, Any], error: type[Exception], name: str) -> None:
    with pytest.raises(error, match=name):
        plan_unit(context(reference().model_dump(mode="json") | fields))


def test_a_tasks_job_is_none_where_it_names_no_bucket_of_ours(store: S3ObjectStore) -> None:
    assert job_of({"bucket": "someone-elses", "client": "acme", "task_id": "3125"}) is None
    assert job_of({"task_id": "x"}) is None


def test_fields_that_a_task_does_not_name_may_be_left_out_of_a_run() -> None:
    fields = form(TranscodeRequest, exclude={"client"}, optional={"source_key", "folder", "name"})
    for name in ("source_key", "folder", "name"):
        fields[name].resolve()
    assert not fields["bucket"].has_value
