"""The tasks of an upload that speak to YouTube: what they wait for, what they tell, and how they fail."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow.sdk.serde import deserialize, serialize

from include.errors import Cancelled, StorageError
from include.orchestration.youtube import triggers
from include.orchestration.youtube.destination import YouTubeDestination
from include.orchestration.youtube.processing import ProcessingOperator
from include.orchestration.youtube.relay import MOST_FAILURES, RelayOperator
from include.orchestration.youtube.triggers import ProcessingTrigger, RelayTrigger
from include.settings import get_settings
from include.uploads.models import Joined, Landed, Problem, Upload
from include.uploads.registry import Uploads
from include.uploads.relay import JOIN, Relayed
from include.uploads.youtube.errors import YouTubeAuthFailed, YouTubeQuotaExceeded, YouTubeUnavailable
from include.uploads.youtube.ledger import LeaseTaken
from include.uploads.youtube.metadata import video_resource
from include.uploads.youtube.oauth import Account
from include.uploads.youtube.processing import Processing, processing_of
from include.uploads.youtube.resumable import send, start, youtube_client
from tests.orchestration.fakes import FakeTaskInstance
from tests.uploads.memory import MemoryTable, an_upload
from tests.youtube_server import CLIENT, PROCESSED, YouTube, youtube_server


@pytest.fixture
def uploads() -> Uploads:
    return Uploads(MemoryTable())


@pytest.fixture
def upload(uploads: Uploads) -> Upload:
    return an_upload(uploads, destinations=("youtube",))


def context_of(upload: Upload, **xcoms: Any) -> Any:
    ti = FakeTaskInstance(xcoms={})
    ti.xcom_pull = lambda task_ids, key="return_value": xcoms.get(task_ids)  # type: ignore[method-assign]
    return {"ti": ti, "dag_run": SimpleNamespace(conf=upload.reference.model_dump(), run_id=upload.reference.run_id)}


def relay_task(uploads: Uploads, answer: Any, *, sent: int = 0) -> RelayOperator:
    class Relay:
        def __init__(self) -> None:
            self.sent = sent

        def relay_available(self, seconds: float) -> Relayed:
            if isinstance(answer, BaseException):
                raise answer
            return answer

    @contextmanager
    def make_relay(upload: Upload, cancelled: threading.Event) -> Iterator[Relay]:
        yield Relay()

    task = RelayOperator(task_id="relay")
    object.__setattr__(task, "make_relay", make_relay)
    object.__setattr__(task, "make_destination", lambda context: YouTubeDestination(context, uploads))
    return task


def at(uploads: Uploads, upload: Upload) -> Any:
    return uploads.read(upload.atom_id, upload.id).at["youtube"]


def test_a_relay_that_is_complete_returns_the_video(uploads: Uploads, upload: Upload) -> None:
    assert relay_task(uploads, Relayed(upload.size, video_id="abc")).execute(context_of(upload)) == "abc"


def test_a_relay_waits_for_the_next_part_without_a_slot(uploads: Uploads, upload: Upload) -> None:
    with pytest.raises(TaskDeferred) as caught:
        relay_task(uploads, Relayed(5, awaits=1)).execute(context_of(upload))
    trigger = caught.value.trigger
    assert (trigger.awaits, trigger.reference) == (1, upload.reference)
    assert caught.value.method_name == "resume"


def test_a_relay_gives_way_after_its_turn(uploads: Uploads, upload: Upload) -> None:
    with pytest.raises(TaskDeferred) as caught:
        relay_task(uploads, Relayed(5)).execute(context_of(upload))
    assert (caught.value.trigger.awaits, caught.value.trigger.not_before) == (None, 0.0)


def test_a_relay_waits_for_the_end_of_anothers_lease(uploads: Uploads, upload: Upload) -> None:
    until = time.time() + 50
    with pytest.raises(TaskDeferred) as caught:
        relay_task(uploads, LeaseTaken("Another one.", until)).execute(context_of(upload))
    assert (caught.value.trigger.awaits, caught.value.trigger.not_before) == (None, until)


@pytest.mark.parametrize("error", [YouTubeUnavailable("YouTube answers 503."), StorageError("No answer.")])
def test_a_relay_waits_longer_each_time_for_a_youtube_that_stays_away(uploads: Uploads, upload: Upload, error: Exception) -> None:
    waits = []
    for failures in range(3):
        with pytest.raises(TaskDeferred) as caught:
            relay_task(uploads, error).resume(context_of(upload), {}, failures)
        waits.append(caught.value.trigger.not_before - time.time())
        assert caught.value.kwargs == {"failures": failures + 1}
    assert waits == pytest.approx([15, 30, 60], abs=1)
    with pytest.raises(AirflowFailException):
        relay_task(uploads, error).resume(context_of(upload), {}, MOST_FAILURES)
    assert at(uploads, upload).status == "failed"


def test_failures_between_which_bytes_arrive_do_not_add_up(uploads: Uploads, upload: Upload) -> None:
    with pytest.raises(TaskDeferred) as caught:
        relay_task(uploads, YouTubeUnavailable("Away."), sent=1).resume(context_of(upload), {}, MOST_FAILURES)
    assert caught.value.kwargs == {"failures": 1}


def test_an_error_that_is_final_is_told_and_not_tried_again(uploads: Uploads, upload: Upload) -> None:
    with pytest.raises(AirflowFailException, match="YouTubeQuotaExceeded"):
        relay_task(uploads, YouTubeQuotaExceeded("The daily quota is used up.")).execute(context_of(upload))
    assert (at(uploads, upload).status, at(uploads, upload).error) == ("failed", "The daily quota is used up.")


def test_a_relay_that_has_failed_for_good_is_not_tried_again(uploads: Uploads, upload: Upload) -> None:
    with pytest.raises(AirflowFailException):
        relay_task(uploads, YouTubeQuotaExceeded("The daily quota is used up.")).execute(context_of(upload))
    # Airflow does try it again, where the process that supervised it was lost before it could tell of its end.
    with pytest.raises(AirflowFailException, match="The daily quota is used up"):
        relay_task(uploads, Relayed(upload.size, video_id="abc")).execute(context_of(upload))
    uploads.reopen(upload.reference)
    assert relay_task(uploads, Relayed(upload.size, video_id="abc")).execute(context_of(upload)) == "abc"


def test_a_relay_ends_with_its_upload_and_gives_its_reason(uploads: Uploads, upload: Upload) -> None:
    uploads.fail(upload.reference, Problem(code="TimeOut", message="Timed out waiting for part 1"))
    with pytest.raises(AirflowFailException):
        relay_task(uploads, Cancelled("The upload has ended.")).execute(context_of(upload))
    assert at(uploads, upload).error == "Timed out waiting for part 1"


def test_a_relay_that_is_stopped_with_its_machine_is_tried_again(uploads: Uploads, upload: Upload) -> None:
    task = relay_task(uploads, Cancelled("Stopped."))
    task.on_kill()
    assert task._cancelled.wait(5)
    with pytest.raises(Cancelled):
        task.execute(context_of(upload))
    assert at(uploads, upload).status == "waiting"


@pytest.mark.parametrize("make", [RelayOperator, ProcessingOperator])
def test_without_youtube_the_tasks_are_skipped(uploads: Uploads, make: Any) -> None:
    task = make(task_id="task")
    object.__setattr__(task, "make_destination", lambda context: YouTubeDestination(context, uploads))
    with pytest.raises(AirflowSkipException):
        task.execute(context_of(an_upload(uploads, destinations=("s3Bucket",))))


def test_processing_is_followed_without_a_slot_and_its_end_told(uploads: Uploads, upload: Upload) -> None:
    task = ProcessingOperator(task_id="processing")
    object.__setattr__(task, "make_destination", lambda context: YouTubeDestination(context, uploads))
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context_of(upload, relay="abc"))
    assert caught.value.trigger.video_id == "abc"
    task.resume(context_of(upload), {"state": "complete", "details": "Done."}, "abc")
    assert (at(uploads, upload).status, at(uploads, upload).details) == ("complete", "https://youtu.be/abc")


def test_youtubes_reason_is_the_destinations_error(uploads: Uploads, upload: Upload) -> None:
    task = ProcessingOperator(task_id="processing")
    object.__setattr__(task, "make_destination", lambda context: YouTubeDestination(context, uploads))
    reason = "YouTube rejected the video because it infringes a copyright."
    with pytest.raises(AirflowFailException, match="copyright"):
        task.resume(context_of(upload), {"state": "failed", "details": reason}, "abc")
    assert (at(uploads, upload).status, at(uploads, upload).error) == ("failed", reason)


# -- triggers


@pytest.fixture
def known(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    """The triggers of this process read these uploads."""
    monkeypatch.setattr(triggers, "open_uploads", lambda: uploads)


def fired(trigger: Any, timeout: float = 10) -> Any:
    async def first() -> Any:
        async with asyncio.timeout(timeout):
            return await anext(trigger.run())

    return asyncio.run(first()).payload


def relay_trigger(upload: Upload, **arguments: Any) -> RelayTrigger:
    return RelayTrigger(
        **upload.reference.model_dump(), **{"poll_seconds": 0.02, "since": time.time(), "patience": 60.0, **arguments}
    )


@pytest.mark.parametrize("what", ["part", "join", "end"])
def test_the_relay_goes_on_when_there_is_something_to_do(uploads: Uploads, upload: Upload, known: None, what: str) -> None:
    happenings = {
        "part": lambda: uploads.set_landed(upload, lambda now: Landed(complete=frozenset({0, 1}))),
        "join": lambda: uploads.set_joined(upload, lambda now: Joined(done=True)),
        "end": lambda: uploads.abort(upload.reference),
    }
    uploads.set_landed(upload, lambda now: Landed(complete=frozenset({0})))
    timer = threading.Timer(0.2, happenings[what])
    began = time.monotonic()
    timer.start()
    fired(relay_trigger(upload, awaits=1))
    assert time.monotonic() - began > 0.19
    assert RelayTrigger.active == 0


def test_the_relay_goes_on_when_the_time_has_come(upload: Upload, known: None) -> None:
    began = time.time()
    fired(relay_trigger(upload, not_before=began + 0.2))
    assert time.time() - began >= 0.2


def test_the_relay_does_not_wait_for_ever(uploads: Uploads, upload: Upload, known: None) -> None:
    event = fired(relay_trigger(upload, awaits=1, patience=0.1))
    with pytest.raises(AirflowFailException, match="in time"):
        relay_task(uploads, None).resume(context_of(upload), event, 0)
    assert at(uploads, upload).status == "failed"


def test_the_relay_is_not_late_while_later_parts_come(uploads: Uploads, upload: Upload, known: None) -> None:
    uploads.set_landed(upload, lambda now: Landed(complete=frozenset({2}), changed_at=time.time() + 60))
    with pytest.raises(TimeoutError):
        fired(relay_trigger(upload, awaits=1, patience=0.1), timeout=0.4)


def test_a_joined_file_is_what_a_checked_upload_waits_for(uploads: Uploads, upload: Upload, known: None) -> None:
    uploads.set_landed(upload, lambda now: Landed(complete=frozenset({0, 1, 2})))
    with pytest.raises(TimeoutError):
        fired(relay_trigger(upload, awaits=JOIN), timeout=0.3)
    uploads.set_joined(upload, lambda now: Joined(done=True))
    fired(relay_trigger(upload, awaits=JOIN))


@pytest.mark.parametrize("trigger", ["relay", "processing"])
def test_triggers_survive_their_serialisation(upload: Upload, trigger: str) -> None:
    where = upload.reference.model_dump()
    made = (
        RelayTrigger(**where, awaits=3, not_before=1.5, since=9.5, patience=60.0, poll_seconds=4.0)
        if trigger == "relay"
        else ProcessingTrigger(**where, video_id="abc", channel="", deadline=7.0, poll_seconds=4.0)
    )
    path, arguments = made.serialize()
    again = type(made)(**deserialize(serialize(arguments)))
    assert path == f"{type(made).__module__}.{type(made).__name__}"
    assert vars(again)["arguments"] == vars(made)["arguments"]


@pytest.fixture(scope="module")
def running_youtube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YouTube]:
    with youtube_server(tmp_path_factory.mktemp("youtube")) as server:
        yield server


@pytest.fixture
def youtube(running_youtube: YouTube, monkeypatch: pytest.MonkeyPatch) -> Iterator[YouTube]:
    """A YouTube that the triggers know, with a connection to it."""
    running_youtube.control(faults=[], processing=PROCESSED)
    extra = {"refresh_token": CLIENT["refresh_token"], "token_url": f"{running_youtube.url}/token"}
    account = Account.of_connection(CLIENT["client_id"], CLIENT["client_secret"], extra)

    async def known_account(settings: Any, channel: str) -> Account:
        if channel:
            raise YouTubeAuthFailed(f"No credentials for channel {channel}.")
        return account

    monkeypatch.setattr(triggers, "async_youtube_account", known_account)
    monkeypatch.setenv("MEDIA_YOUTUBE_URL", running_youtube.url)
    get_settings.cache_clear()
    yield running_youtube
    get_settings.cache_clear()


@pytest.fixture
def video_id(youtube: YouTube) -> str:
    account = asyncio.run(triggers.async_youtube_account(None, ""))  # type: ignore[arg-type]
    with youtube_client(account, youtube.url) as client:
        session = start(client, video_resource("A film"), size=4, content_type="video/mp4", account=account)
        return send(client, session, b"film", first=0, total=4).video_id


def processing_trigger(upload: Upload, video_id: str, **changes: Any) -> ProcessingTrigger:
    arguments = {"video_id": video_id, "channel": "", "deadline": time.time() + 60, "poll_seconds": 0.02, **changes}
    return ProcessingTrigger(**upload.reference.model_dump(), **arguments)


def test_processing_is_followed_to_its_end(
    uploads: Uploads, upload: Upload, known: None, youtube: YouTube, video_id: str
) -> None:
    youtube.control(faults=[{"where": "list", "status": 503}, {"where": "list", "status": 403, "reason": "rateLimitExceeded"}])
    assert fired(processing_trigger(upload, video_id)) == {"state": "complete", "details": "YouTube has processed the video."}
    told = at(uploads, upload)
    assert (told.status, told.progress) == ("transcoding", 25.0)
    assert told.details == f"YouTube processes the video: 1 of 4 parts, 3 s left. https://youtu.be/{video_id}"


def test_a_video_that_is_not_listed_at_first_is_asked_for_again(
    upload: Upload, known: None, youtube: YouTube, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [processing_of(None), processing_of(None), Processing("complete", 100.0, "Done.")]

    async def look(client: Any, video_id: str) -> Processing:
        return looks.pop(0)

    monkeypatch.setattr(triggers, "look", look)
    assert fired(processing_trigger(upload, "abc"))["state"] == "complete"
    looks.append(processing_of(None))
    monkeypatch.setattr(triggers, "MISSING_SECONDS", -1.0)
    assert "deleted" in fired(processing_trigger(upload, "abc"))["details"]


def test_a_quota_only_delays_the_asking(
    upload: Upload, known: None, youtube: YouTube, video_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggers, "QUOTA_SECONDS", 0.05)
    youtube.control(faults=[{"where": "list", "status": 403, "reason": "quotaExceeded"}])
    assert fired(processing_trigger(upload, video_id))["state"] == "complete"


def test_credentials_that_are_not_enough_are_named(upload: Upload, known: None, youtube: YouTube) -> None:
    event = fired(processing_trigger(upload, "abc", channel="UC7"))
    assert event["state"] == "failed"
    assert event["error"]["code"] == "YouTubeAuthFailed"
    assert "UC7" in event["details"]


def test_processing_that_never_ends_is_given_up(upload: Upload, known: None, youtube: YouTube, video_id: str) -> None:
    youtube.control(processing=[{"status": {"uploadStatus": "uploaded"}}])
    event = fired(processing_trigger(upload, video_id, deadline=time.time() + 0.2))
    assert event["state"] == "failed"
    assert "in time" in event["details"]


def test_no_secret_is_in_a_trigger(upload: Upload) -> None:
    text = json.dumps(processing_trigger(upload, "abc").serialize())
    assert CLIENT["client_secret"] not in text
    assert CLIENT["refresh_token"] not in text


def test_dag_files_that_import_the_tasks_do_not_import_boto3() -> None:
    code = (
        "import sys; import include.orchestration.youtube.relay, include.orchestration.youtube.processing;"
        "sys.exit(sum(name in sys.modules for name in ('boto3', 'botocore')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=Path(__file__).parents[2])
