from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import httpx

from include.media_api.own_loop import OwnLoopTransport


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
