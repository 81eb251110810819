"""The tasks and triggers of an upload's run, without Airflow's processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError, AirflowSkipException, ErrorType, TaskDeferred
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse

from include.errors import InvalidInputData, StorageError, TimedOut
from include.media_store import object_events
from include.media_store.object_events import ObjectMessage
from include.orchestration.upload import access, finish, part_events, parts_trigger, run_trigger
from include.orchestration.upload.access import TaskUpload, failing
from include.orchestration.upload.await_parts import AwaitPartsOperator
from include.orchestration.upload.begin import BeginOperator
from include.orchestration.upload.finish import CleanOperator, ReportOperator, problem_of
from include.orchestration.upload.part_events import receiving
from include.orchestration.upload.parts_trigger import PartsTrigger
from include.orchestration.upload.run_trigger import TranscodeTrigger, percent
from include.orchestration.upload.transcode import TranscodeOperator
from include.settings import Settings
from include.uploads.models import Joined, Upload
from include.uploads.registry import Uploads
from include.uploads.transcode import transcode_request
from include.uploads.watch import Sight
from tests.media_api.fakes import MemoryStore
from tests.uploads.memory import MemoryTable, a_plan, an_upload


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> Uploads:
    """The uploads that the tasks find."""
    found = Uploads(MemoryTable())
    for module in (access, parts_trigger, run_trigger, part_events):
        monkeypatch.setattr(module, "open_uploads", lambda: found)
    return found


@pytest.fixture
def upload(uploads: Uploads) -> Upload:
    return an_upload(uploads, destinations=("youtube", "s3Bucket"))


def context(upload: Upload, attempt: int = 1) -> Any:
    run = SimpleNamespace(conf=upload.reference.model_dump(), run_id=upload.reference.run_id)
    return {"params": {}, "dag_run": run, "ti": SimpleNamespace(try_number=attempt, max_tries=2)}


def state_of(uploads: Uploads, upload: Upload) -> Upload:
    return uploads.read(upload.atom_id, upload.id)


@pytest.mark.parametrize(
    ("tasks", "reached"),
    [
        ({}, 0),
        ({"plan": "running"}, 0),
        ({"plan": "success", "encode": None}, 2),
        ({"plan": "success", "encode_0": "success", "encode_1": "running"}, 47),
        ({"plan": "success", "encode_0": "success", "encode_1": "success", "finish": "running"}, 92),
        ({"plan": "success", "encode_0": "success", "finish": "success", "report": "running"}, 99),
        ({"plan": "failed", "encode": "upstream_failed", "finish": "upstream_failed"}, 0),
    ],
    ids=str,
)
def test_progress_follows_from_the_tasks_of_the_transcode(tasks: Mapping[str, str | None], reached: float) -> None:
    assert percent(tasks) == reached


def test_triggers_are_what_they_were_when_another_process_makes_them_again(upload: Upload) -> None:
    request = transcode_request(upload, "media").model_dump(mode="json")
    for trigger in (
        PartsTrigger(**upload.reference.model_dump()),
        TranscodeTrigger(**upload.reference.model_dump(), request=request, deadline=9.5),
    ):
        path, arguments = trigger.serialize()
        assert resolve_name(path)(**arguments).serialize() == (path, arguments)


def test_a_run_that_is_started_again_first_forgets_its_failure(uploads: Uploads, upload: Upload) -> None:
    uploads.fail(upload.reference, access.Problem(code="TimeOut", message="Timed out waiting for part 0"))
    assert BeginOperator(task_id="begin").execute(context(upload)) == "running"
    assert not state_of(uploads, upload).is_over
    uploads.abort(upload.reference)
    assert BeginOperator(task_id="begin").execute(context(upload)) == "aborted"


def test_parts_are_waited_for_in_the_triggerer(upload: Upload) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        AwaitPartsOperator(task_id="await_parts").execute(context(upload))
    assert isinstance(deferred.value.trigger, PartsTrigger)


class Looks:
    """A watch that sees these one after the other, an error where there is one."""

    def __init__(self, upload: Upload, *sights: Sight | Exception) -> None:
        self._upload, self.sights = upload, list(sights)
        self.listings: list[bool] = []

    def look(self, *, listing: bool = True) -> tuple[Sight, Upload]:
        self.listings.append(listing)
        sight = self.sights.pop(0)
        if isinstance(sight, Exception):
            raise sight
        return sight, self._upload


def test_a_store_that_is_away_is_waited_for(upload: Upload) -> None:
    settings = Settings(_env_file=None, upload_poll_seconds=0.01)  # type: ignore[call-arg]
    looks = Looks(upload, Sight.WAITING, StorageError("away"), Sight.WAITING, Sight.COMPLETE)
    trigger = PartsTrigger(**upload.reference.model_dump())
    assert asyncio.run(trigger.watch(looks, settings)) is Sight.COMPLETE  # type: ignore[arg-type]
    assert looks.listings == [True] * 4


def test_with_a_queue_parts_are_listed_at_first_and_then_only_noted(upload: Upload) -> None:
    settings = Settings(_env_file=None, upload_poll_seconds=0.01, upload_queue_url="http://queue")  # type: ignore[call-arg]
    looks = Looks(upload, StorageError("away"), Sight.WAITING, Sight.WAITING, Sight.TIMED_OUT)
    trigger = PartsTrigger(**upload.reference.model_dump())
    assert asyncio.run(trigger.watch(looks, settings)) is Sight.TIMED_OUT  # type: ignore[arg-type]
    assert looks.listings == [True, True, False, False]


@pytest.mark.parametrize(
    ("state", "seconds_left", "words"),
    [(run_trigger.MISSING, 600, "deleted"), ("queued", -1, "in time")],
    ids=["deleted", "too late"],
)
def test_a_transcode_that_will_not_end_is_not_followed_for_ever(
    uploads: Uploads, upload: Upload, monkeypatch: pytest.MonkeyPatch, state: str, seconds_left: float, words: str
) -> None:
    monkeypatch.setattr(run_trigger, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(run_trigger, "SHARE_SECONDS", 0)
    request = transcode_request(upload, "media").model_dump(mode="json")
    deadline = time.time() + seconds_left
    trigger = TranscodeTrigger(**upload.reference.model_dump(), request=request, deadline=deadline)
    monkeypatch.setattr(trigger, "_look", lambda: (state, {}))

    async def fired() -> Any:
        async with asyncio.timeout(20):
            return await anext(trigger.run())

    task = TranscodeOperator(task_id="transcode")
    with pytest.raises(AirflowFailException, match="has not succeeded"):
        task.fail(context(upload), asyncio.run(fired()).payload)
    at = state_of(uploads, upload).at["s3Bucket"]
    assert at.status == "failed"
    assert words in (at.error or "")


def test_a_run_that_airflow_does_not_have_is_missing(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(status: int) -> None:
        def send(msg: Any) -> Any:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": status}))

        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=send), raising=False)

    request = transcode_request(upload, "media").model_dump(mode="json")
    trigger = TranscodeTrigger(**upload.reference.model_dump(), request=request, deadline=9.5)
    answers(404)
    assert trigger._look() == (run_trigger.MISSING, {})
    answers(503)
    with pytest.raises(AirflowRuntimeError):
        trigger._look()


def test_events_are_received_once_for_all_triggers_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: list[str] = []

    async def receive(queue_url: str) -> None:
        at_work.append(queue_url)
        try:
            await asyncio.sleep(60)
        finally:
            at_work.remove(queue_url)

    monkeypatch.setattr(part_events, "_receive", receive)
    settings = Settings(_env_file=None, upload_queue_url="http://queue")  # type: ignore[call-arg]

    async def run() -> None:
        async with receiving(settings):
            async with receiving(settings):
                await asyncio.sleep(0.01)
                assert at_work == ["http://queue"]
            assert at_work == ["http://queue"]
        assert at_work == []
        async with receiving(settings):
            await asyncio.sleep(0.01)
            assert at_work == ["http://queue"]

    asyncio.run(run())
    assert at_work == []


def test_an_event_is_deleted_once_it_is_noted_and_a_queue_that_fails_is_asked_again(
    uploads: Uploads, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = upload.part(1).key
    store = MemoryStore("media")
    store.add(key, data=bytes(upload.part(1).size))
    deleted: list[str] = []

    class Events:
        answers: ClassVar[list[Any]] = [
            StorageError("away"),
            KeyError("odd"),
            [ObjectMessage("r1", (key,)), ObjectMessage("r2", ())],
        ]

        made: ClassVar[list[str]] = []

        def __init__(self, queue_url: str) -> None:
            self.made.append(queue_url)
            if len(self.made) == 1:
                raise ValueError("no region yet")

        def receive(self) -> list[ObjectMessage]:
            answer = self.answers.pop(0) if self.answers else []
            if isinstance(answer, Exception):
                raise answer
            return answer

        def delete(self, message: ObjectMessage) -> None:
            deleted.append(message.receipt)

    monkeypatch.setattr(object_events, "ObjectEvents", Events)
    monkeypatch.setattr(part_events, "open_store", lambda: store)
    monkeypatch.setattr(part_events, "PAUSE_SECONDS", 0.01)

    async def run() -> None:
        async with receiving(Settings(_env_file=None, upload_queue_url="http://queue")):  # type: ignore[call-arg]
            while len(deleted) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 20))
    assert state_of(uploads, upload).landed.complete == {1}
    assert set(deleted) == {"r1", "r2"}
    assert Events.made == ["http://queue"] * 2


def test_a_receiver_that_has_died_fails_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    async def receive(queue_url: str) -> None:
        raise RuntimeError("died")

    monkeypatch.setattr(part_events, "_receive", receive)

    async def run() -> None:
        async with receiving(Settings(_env_file=None, upload_queue_url="http://queue")):  # type: ignore[call-arg]
            await asyncio.sleep(0.01)

    asyncio.run(run())
    assert part_events._receiver.task is None


@pytest.mark.parametrize(
    ("error", "attempt", "is_final"),
    [(InvalidInputData("bad"), 1, True), (TimedOut("slow"), 1, False), (TimedOut("slow"), 3, True)],
    ids=["final", "tried again", "last attempt"],
)
def test_only_an_error_that_is_not_tried_again_is_the_uploads(
    uploads: Uploads, upload: Upload, error: Exception, attempt: int, is_final: bool
) -> None:
    task = TaskUpload(context(upload))
    with pytest.raises(type(error)), failing(task, context(upload, attempt)):
        raise error
    assert state_of(uploads, upload).is_over is is_final


def test_a_task_of_an_upload_that_was_aborted_does_nothing(uploads: Uploads, upload: Upload) -> None:
    uploads.abort(upload.reference)
    with pytest.raises(AirflowFailException, match="aborted"):
        TaskUpload(context(upload)).read()


def test_parts_are_removed_only_when_they_are_joined(uploads: Uploads, upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    store = SimpleNamespace(delete_prefix=lambda bucket, prefix: removed.append(prefix) or 3)
    monkeypatch.setattr(finish, "open_store", lambda: store)
    with pytest.raises(AirflowSkipException):
        CleanOperator(task_id="clean").execute(context(upload))
    assert not removed
    uploads.set_joined(upload, lambda _: Joined(done=True, etag="x"))
    assert CleanOperator(task_id="clean").execute(context(upload)) == 3
    assert removed == [upload.reference.parts_prefix]


def test_an_upload_is_complete_when_it_has_arrived_everywhere(uploads: Uploads, upload: Upload) -> None:
    for kind in upload.destinations:
        uploads.set_destination(upload.atom_id, upload.id, kind, status="complete")
    assert ReportOperator(task_id="report").execute(context(upload)) == {"youtube": "complete", "s3Bucket": "complete"}
    assert state_of(uploads, upload).outcome.state == "complete"


def test_a_complete_upload_whose_run_is_cleared_is_counted_once(
    uploads: Uploads, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    monkeypatch.setattr(finish, "record_upload", counted.append)
    for kind in upload.destinations:
        uploads.set_destination(upload.atom_id, upload.id, kind, status="complete")
    told = [ReportOperator(task_id="report").execute(context(upload)) for _ in range(2)]
    assert told == [{"youtube": "complete", "s3Bucket": "complete"}] * 2
    assert counted == ["done"]


def test_one_destination_that_failed_fails_the_upload_and_leaves_the_other_as_it_is(uploads: Uploads, upload: Upload) -> None:
    uploads.set_destination(upload.atom_id, upload.id, "youtube", status="failed", error="The quota is used up.")
    uploads.set_destination(upload.atom_id, upload.id, "s3Bucket", status="complete")
    with pytest.raises(AirflowFailException, match="quota"):
        ReportOperator(task_id="report").execute(context(upload))
    after = state_of(uploads, upload)
    assert (after.outcome.state, after.at["s3Bucket"].status) == ("failed", "complete")


def test_tasks_that_died_without_a_word_leave_no_destination_waiting_for_ever(uploads: Uploads, upload: Upload) -> None:
    with pytest.raises(AirflowFailException):
        ReportOperator(task_id="report").execute(context(upload))
    after = state_of(uploads, upload)
    assert {at.status for at in after.at.values()} == {"failed"}
    assert all("killed" in (at.error or "") for at in after.at.values())
    problem = problem_of(after)
    assert problem is not None
    assert problem.code == "InternalError"


def test_the_transcode_is_named_after_the_file_and_lies_beside_it() -> None:
    def name(filename: str) -> str:
        plan = a_plan(filename=filename)
        one = Upload.model_validate(dict(plan) | {"atom_id": "a", "id": "u"})
        request = transcode_request(one, "media")
        assert (request.source_key, request.folder) == ("uploads/a/u/full", "uploads/a/u/")
        return request.name

    assert name("an interview.mp4") == "an_interview"
    assert name("../../etc/passwd") == "passwd"
    assert name("Überschrift 5.MOV") == "Überschrift_5"
    assert name("...") == "video"
    assert name("x" * 250) == "x" * 80
