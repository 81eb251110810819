"""Lists read from a database with Airflow's own tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.models import import_all_models
from airflow.models.base import Base
from sqlalchemy import create_engine, event, func, select
from sqlalchemy.orm import Session

from include.errors import InternalError, ParameterError
from include.media_api.airflow_reads import AirflowReads
from include.media_api.gateway import Run, RunQuery, RunsOf, TaskState
from tests.media_pages.history import BIG, TASKS, write

RUNS, UNITS = 300, 12
OURS = frozenset(RunsOf(dag_id) for dag_id in TASKS)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import_all_models()
    made = create_engine(f"sqlite:///{tmp_path_factory.mktemp('airflow') / 'airflow.db'}")
    Base.metadata.create_all(made)
    with Session(made) as session:
        write(session, RUNS, UNITS)
    return made


@pytest.fixture
def reads(engine: Any) -> AirflowReads:
    return AirflowReads(lambda: engine)


@pytest.fixture
def statements(engine: Any) -> Iterator[list[str]]:
    """What is asked of the database meanwhile."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield asked
    event.remove(engine, "before_cursor_execute", note)


def everything(reads: AirflowReads, query: RunQuery = RunQuery(OURS), limit: int = 100) -> list[Run]:  # noqa: B008 (frozen)
    found: list[Run] = []
    cursor: str | None = None
    while True:
        page = reads.find(query, limit, cursor)
        assert len(page.runs) == limit or page.cursor is None
        found += page.runs
        if (cursor := page.cursor) is None:
            return found


@pytest.mark.parametrize("limit", [1, 7, 100, RUNS, RUNS + 1, RUNS + 2])
def test_pages_are_all_runs_newest_first(reads: AirflowReads, limit: int) -> None:
    found = everything(reads, limit=limit)
    assert len({(run.dag_id, run.run_id) for run in found}) == len(found) == RUNS + 1
    assert found[0].run_id == BIG.run_id
    times = [run.created_at for run in found if run.created_at]
    assert times == sorted(times, reverse=True)
    assert len(times) == RUNS + 1


def test_a_run_is_read_whole(reads: AirflowReads) -> None:
    run = reads.runs("transcode", [BIG.run_id, "no-such-run"])[BIG.run_id]
    assert (run.dag_id, run.state, run.conf, run.end_date) == ("transcode", "running", BIG.model_dump(mode="json"), None)
    assert run.start_date is not None
    assert run.start_date.tzinfo is not None
    assert reads.runs("live", [BIG.run_id]) == reads.runs("transcode", []) == {}


@pytest.mark.parametrize(
    ("query", "is_meant"),
    [
        (RunQuery(frozenset({RunsOf("upload"), RunsOf("live")})), lambda run: run.dag_id in {"upload", "live"}),
        (
            RunQuery(frozenset({RunsOf("transcode", of_tasks=True)})),
            lambda run: run.dag_id == "transcode" and "task_id" in run.conf,
        ),
        (
            RunQuery(frozenset({RunsOf("transcode", of_tasks=False), RunsOf("live")})),
            lambda run: run.dag_id == "live" or (run.dag_id == "transcode" and "task_id" not in run.conf),
        ),
        (
            RunQuery(frozenset({RunsOf("transcode", of_tasks=False), RunsOf("transcode", of_tasks=True)})),
            lambda run: run.dag_id == "transcode",
        ),
        (RunQuery(OURS, states=frozenset({"failed", "running"})), lambda run: run.state != "success"),
        (RunQuery(OURS, client="archive"), lambda run: run.conf.get("client") == "archive"),
        (
            RunQuery(OURS, content_provider="公共频道"),
            lambda run: "公共频道" in (run.conf.get("content_provider"), run.conf.get("contentprovider")),
        ),
        (RunQuery(OURS, text="FILM-0001"), lambda run: "film-0001" in str(run.conf)),
        (RunQuery(OURS, text="upload__"), lambda run: run.dag_id == "upload"),
        (RunQuery(OURS, text="film_"), lambda run: False),
        (RunQuery(OURS, text="%"), lambda run: False),
        (RunQuery(OURS, text="'"), lambda run: False),
        (RunQuery(OURS, client="ott' OR 1=1 --"), lambda run: False),
    ],
)
def test_filters_are_those_of_the_conf(reads: AirflowReads, query: RunQuery, is_meant: Any) -> None:
    wanted = [run.run_id for run in everything(reads) if is_meant(run)]
    assert [run.run_id for run in everything(reads, query)] == wanted


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 19, "1 OR 1=1", "²", str(2**31), "0"])
def test_what_is_no_cursor_is_refused(reads: AirflowReads, cursor: str) -> None:
    with pytest.raises(ParameterError, match="cursor"):
        reads.find(RunQuery(OURS), 10, cursor)


@pytest.mark.parametrize(
    "query", [RunQuery(OURS, text="film\0"), RunQuery(OURS, client="\0"), RunQuery(OURS, content_provider="a\x1b")]
)
def test_what_no_text_of_a_database_may_hold_is_refused(reads: AirflowReads, statements: list[str], query: RunQuery) -> None:
    with pytest.raises(ParameterError, match="control characters"):
        reads.find(query, 10)
    assert statements == []


def test_an_id_that_can_be_no_runs_is_not_asked_for(reads: AirflowReads, engine: Any) -> None:
    asked: list[Any] = []

    def note(_connection: Any, _cursor: Any, _statement: str, parameters: Any, *_: Any) -> None:
        asked.append(parameters)

    event.listen(engine, "before_cursor_execute", note)
    try:
        assert set(reads.runs("transcode", [BIG.run_id, "x\0"])) == {BIG.run_id}
        assert reads.runs("transcode", ["x\0"]) == {}
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert "\\x00" not in repr(asked)


def test_tasks_of_a_run_with_what_those_at_work_have_told(reads: AirflowReads) -> None:
    tasks = reads.tasks("transcode", [BIG.run_id])[BIG.run_id]
    assert len(tasks) == UNITS + 4
    units = {task.map_index: task for task in tasks if task.task_id == "encode"}
    assert [units[n].state for n in range(UNITS)] == ["success"] * 6 + ["running"] * 3 + ["scheduled"] * 3
    running = units[6]
    assert (running.progress, running.event["fps"], running.label, running.try_number) == (0.33, 24.5, "chunk 6", 1)
    assert running.start_date is not None
    # What is done has told of its progress, too, once; nobody needs it any more.
    assert (units[0].progress, units[0].event) == (0.0, {})
    assert next(task for task in tasks if task.task_id == "report") == TaskState("report", -1, None)


def test_a_task_that_waits_for_a_job_has_told_by_an_xcom(tmp_path: Path) -> None:
    made = create_engine(f"sqlite:///{tmp_path / 'airflow.db'}")
    Base.metadata.create_all(made)
    with Session(made) as session:
        write(session, 0, 10, state="deferred")
    tasks = AirflowReads(lambda: made).tasks("transcode", [BIG.run_id])[BIG.run_id]
    assert [task.progress for task in tasks if task.state == "deferred"] == [0.33] * 5


def test_a_list_is_one_statement_and_the_tasks_of_many_runs_are_three(reads: AirflowReads, statements: list[str]) -> None:
    runs = reads.find(RunQuery(OURS), 100).runs
    assert len(statements) == 1
    statements.clear()
    ids = [run.run_id for run in runs if run.dag_id == "transcode"]
    assert set(reads.tasks("transcode", ids)) == set(ids)
    assert len(statements) == 3
    assert all(statement.lstrip().startswith("SELECT") for statement in statements)


def test_a_database_that_does_not_answer_is_told_without_its_words(tmp_path: Path) -> None:
    reads = AirflowReads(lambda: create_engine(f"sqlite:///{tmp_path / 'nothing' / 'airflow.db'}"))
    with pytest.raises(InternalError) as error:
        reads.runs("transcode", ["r"])
    assert str(tmp_path) not in error.value.message


def test_finished_work_is_there_to_be_passed_over(engine: Any) -> None:
    """Else the tests above would prove nothing."""
    from airflow.models.task_state_store import TaskStateStoreModel

    with Session(engine) as session:
        assert session.scalar(select(func.count()).select_from(TaskStateStoreModel)) > RUNS
