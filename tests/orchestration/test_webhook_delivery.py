"""Delivery of events to real servers: signed, guarded, tried again, and never a reason to raise."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tenacity import AsyncRetrying

from include.orchestration import webhook_delivery as module
from include.orchestration.triggers.webhook import END_SECONDS
from include.orchestration.webhook_delivery import Courier, Delivery
from include.orchestration.webhook_events import Event
from include.settings import Settings
from include.worker.callback import Callback
from tests.receiver import WHSEC, receiver

RUN = ("transcode", "transcode__1", 1)
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=timezone.utc)
END = Event("transcode.succeeded", {"run_id": "transcode__1", "progress": 100}, NOW)


def settings(*networks: str) -> Settings:
    return Settings(_env_file=None, webhook_secrets=f"ott:{WHSEC}", allowed_networks=networks)  # type: ignore[call-arg]


def send(
    url: str,
    event: Event = END,
    *,
    attempts: int = 1,
    seconds: float | None = None,
    pause: float = 0.01,
    client: str = "ott",
    networks: tuple[str, ...] = ("127.0.0.1/32",),
) -> Delivery:
    callback = Callback(url=url, client=client, about={"src": "in/a.mp4"})
    courier = Courier(settings(*networks), RUN, pause=pause)
    return asyncio.run(courier.send(event, callback, attempts=attempts, seconds=seconds))


def test_an_event_arrives_signed_with_what_the_client_knows_the_work_by() -> None:
    with receiver() as hook:
        delivery = send(hook.url)
    (taken,) = hook.received
    assert taken.event == {
        "type": "transcode.succeeded",
        "timestamp": "2026-11-21T12:00:00Z",
        "data": {"src": "in/a.mp4", "run_id": "transcode__1", "progress": 100},
    }
    assert taken.headers["content-type"] == "application/json"
    assert (delivery.delivered, delivery.attempts, delivery.answer, delivery.id) == (True, 1, "HTTP 204", taken.id)


def test_what_failed_is_sent_again_under_the_same_id() -> None:
    with receiver((500, 302, 429, 200)) as hook:
        delivery = send(hook.url, attempts=8)
    assert (delivery.delivered, delivery.attempts) == (True, 4)
    assert len({taken.id for taken in hook.received}) == 1
    assert hook.types == ["transcode.succeeded"] * 4


def test_the_end_of_a_runs_attempt_has_one_id_whoever_tells_it_and_progress_one_each() -> None:
    later = NOW.replace(minute=5)
    assert END.message_id("ott", *RUN) == Event(END.type, {}, later).message_id("ott", *RUN)
    assert END.message_id("ott", *RUN) != END.message_id("other", *RUN)
    assert END.message_id("ott", *RUN) != END.message_id("ott", *RUN[:2], 2)
    first, second = (Event("transcode.progress", {}, at) for at in (NOW, later))
    assert first.message_id("ott", *RUN) != second.message_id("ott", *RUN)


def test_attempts_are_as_many_as_allowed_and_no_more() -> None:
    with receiver((503,)) as hook:
        delivery = send(hook.url, attempts=3)
    assert (delivery.delivered, delivery.attempts, delivery.answer) == (False, 3, "HTTP 503")
    assert len(hook.received) == 3


def test_a_receiver_that_is_gone_is_not_asked_again() -> None:
    with receiver((410,)) as hook:
        delivery = send(hook.url, attempts=8)
    assert (delivery.delivered, delivery.attempts, delivery.gone) == (False, 1, True)


def test_a_redirect_leads_nowhere() -> None:
    with receiver() as other, receiver((307,), {"location": other.url}) as hook:
        assert not send(hook.url).delivered
    assert (len(hook.received), other.received) == (1, [])


def test_an_address_that_is_not_allowed_is_not_reached() -> None:
    with receiver() as hook:
        delivery = send(hook.url, networks=())
    assert (delivery.delivered, hook.received) == (False, [])
    assert "may not be reached" in delivery.answer


def test_a_long_answer_is_not_read() -> None:
    with receiver(body=b"x" * 2**27) as hook:
        assert send(hook.url).delivered


def test_a_receiver_that_asks_for_a_pause_gets_it() -> None:
    with receiver((503, 200), {"retry-after": "1"}) as hook:
        began = time.monotonic()
        assert send(hook.url, attempts=2).delivered
        assert time.monotonic() - began >= 1


def test_a_receiver_that_asks_for_more_and_more_patience_does_not_hold_the_run_up(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(module, "AsyncRetrying", partial(AsyncRetrying, sleep=sleep))
    with receiver((503,), {"retry-after": "900"}) as hook:
        delivery = send(hook.url, attempts=8, seconds=END_SECONDS, pause=1.0)
    assert (delivery.delivered, delivery.attempts) == (False, 8)
    assert min(slept) == 30
    assert sum(slept) <= 300


def test_no_attempt_begins_after_the_time_for_all_of_them() -> None:
    with receiver((503,), {"retry-after": "900"}) as hook:
        began = time.monotonic()
        assert send(hook.url, attempts=8, seconds=5).attempts == 1
        assert time.monotonic() - began < 5


def test_a_server_that_is_not_there_is_an_answer_too() -> None:
    with receiver() as hook:
        pass
    delivery = send(hook.url, attempts=2)
    assert (delivery.delivered, delivery.attempts, delivery.answer) == (False, 2, "ConnectError")


def test_a_host_that_is_no_international_name_is_an_answer_too() -> None:
    """There are such names (an emoji, say), which the system would find."""
    delivery = send("http://xn--ls8h.example/hook", attempts=2)
    assert (delivery.delivered, delivery.attempts, delivery.answer) == (False, 1, "its host is no international name")


def test_without_a_secret_nothing_is_sent() -> None:
    with receiver() as hook:
        delivery = send(hook.url, client="stranger")
    assert (delivery.attempts, hook.received) == (0, [])
    assert "MEDIA_WEBHOOK_SECRETS" in delivery.answer


def test_what_is_secret_is_neither_logged_nor_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "include")
    with receiver((500, 200)) as hook:
        shown = str(send(hook.url, attempts=2).document())
    assert "a-secret-token" not in shown + caplog.text
    assert WHSEC.removeprefix("whsec_") not in shown + caplog.text
    assert "transcode.succeeded to http://127.0.0.1" in caplog.text


def test_what_the_page_tells_receivers_to_run_takes_an_event_once_and_a_forgery_never() -> None:
    page = (Path(__file__).parents[2] / "docs/webhooks.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    told: dict[str, Any] = {}
    exec(code, told)
    with receiver() as hook:
        send(hook.url)
    (taken,) = hook.received
    seen: set[str] = set()
    assert told["receive"](taken.body, taken.headers, WHSEC, seen)["type"] == "transcode.succeeded"
    assert told["receive"](taken.body, taken.headers, WHSEC, seen) is None
    for body, changes in ((taken.body + b" ", {}), (taken.body, {"webhook-id": "msg_other"})):
        with pytest.raises(told["WebhookVerificationError"]):
            told["receive"](body, taken.headers | changes, WHSEC, set())
