from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import httpx

from include.media_api.own_loop import OneWriter, OwnLoopTransport


def ask(app: Any, *paths: str, meanwhile: Any = None) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=OwnLoopTransport(lambda: app), base_url="http://x") as client:
            calls = [client.post(path, json={"sent": path}) for path in paths]
            if meanwhile:
                calls.append(meanwhile())
            return list(await asyncio.gather(*calls))

    return asyncio.run(run())


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    if scope["path"] == "/broken":
        raise ZeroDivisionError
    if scope["path"] == "/blocking":
        time.sleep(0.5)  # noqa: ASYNC251  (that is the point)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"x-thread", threading.current_thread().name.encode())]}
    )
    await send({"type": "http.response.body", "body": body})


def test_the_app_is_called_on_another_loop() -> None:
    (answer,) = ask(echo, "/a")
    assert answer.json() == {"sent": "/a"}
    assert answer.headers["x-thread"] == "airflow-gateway"


def test_an_app_that_breaks_answers_500() -> None:
    assert ask(echo, "/broken")[0].status_code == 500


def test_what_blocks_there_blocks_nothing_here() -> None:
    ticks: list[float] = []

    async def tick() -> None:
        while len(ticks) < 10:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    ask(echo, "/blocking", meanwhile=tick)
    assert ticks[-1] - ticks[0] < 0.4


def change(app: Any, *paths: str) -> list[httpx.Response]:
    async def parts() -> Any:
        yield b"in "
        yield b"parts"

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return list(await asyncio.gather(*(client.post(path, content=parts()) for path in paths)))

    return asyncio.run(run())


def test_a_writer_that_waits_for_a_lock_holds_up_nobody_who_has_it() -> None:
    lock = threading.Lock()
    held = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/task":
            await asyncio.to_thread(lock.acquire)
            held.set()
            # The loop's turn, as at the end of a request whose session is closed in a thread
            await asyncio.sleep(0.2)
            lock.release()
        else:
            held.wait(5)
            assert lock.acquire(timeout=5), "the loop stands still"
            lock.release()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    writer = OneWriter(app)

    async def routed(scope: Any, receive: Any, send: Any) -> None:
        await (app if scope["path"] == "/task" else writer)(scope, receive, send)

    assert [answer.status_code for answer in change(routed, "/task", "/user")] == [204, 204]


def test_writers_take_turns_and_get_their_whole_bodies() -> None:
    at_once: list[int] = []
    inside = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal inside
        inside += 1
        at_once.append(inside)
        await asyncio.sleep(0.02)
        inside -= 1
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        if scope["path"] == "/broken":
            raise ZeroDivisionError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body[:3], "more_body": True})
        await send({"type": "http.response.body", "body": body[3:]})

    answers = change(OneWriter(app), "/a", "/broken", "/b")
    assert [answer.status_code for answer in answers] == [200, 500, 200]
    assert {answer.content for answer in answers if answer.is_success} == {b"in parts"}
    assert at_once == [1, 1, 1]
