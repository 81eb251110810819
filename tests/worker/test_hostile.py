"""Addresses and files that are made to harm: none reaches what it should not, and each ends with its code."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.ffmpeg_ops.tools import has_protocol
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from include.worker.execute import execute
from include.worker.job import live_unit
from tests.conftest import Clips
from tests.net.web import Exchange, Trap, Web, trap, web
from tests.worker.file_tasks import FileTask, profile
from tests.worker.hostile_media import HOSTILE, World

SECRET = "hush4711"
LIVE = ("rtmp", "rtsp", "srt", "udp")


def own_address() -> str | None:
    """Return an IPv4 address of this machine that others see, where it has one."""
    found = [a.address for entries in psutil.net_if_addrs().values() for a in entries if a.family == socket.AF_INET]
    return next((address for address in found if not address.startswith("127.")), None)


@pytest.fixture(scope="module")
def traps() -> Iterator[dict[str, Trap]]:
    """Listeners wherever a hostile address could lead on this machine."""
    with ExitStack() as stack:
        hosts = {"four": "127.0.0.1", "other": "127.0.0.2"}
        if socket.has_ipv6 and "::1" in {a.address for entries in psutil.net_if_addrs().values() for a in entries}:
            hosts["six"] = "::1"
        if own := own_address():
            hosts["own"] = own
        yield {name: stack.enter_context(trap(host)) for name, host in hosts.items()}


def failed(store: S3ObjectStore, settings: Settings, source: str) -> dict[str, Any]:
    """Run the first unit of a task with that source; return the error that it ends with."""
    task = FileTask(store, settings, profile(width=64, height=64), source)
    task.write()
    live = source.partition(":")[0].lower().startswith(LIVE)
    result = execute(live_unit(task.reference), store=store, settings=settings) if live else task.run("plan")
    assert result.status == "failed"
    assert result.error is not None
    assert SECRET not in str(result)
    assert not list(store.list(settings.bucket, task.folder))
    return result.error


# {four} is the port of a listener at 127.0.0.1, and so on.
URLS = [
    # what names this machine
    ("http://127.0.0.1:{four}/a.mp4?key=hush4711", "InvalidInputData"),
    ("http://user:hush4711@127.0.0.1:{four}/a.mp4", "InvalidInputData"),
    ("http://localhost:{four}/a.mp4", "InvalidInputData"),
    ("http://LOCALHOST.:{four}/a.mp4", "InvalidInputData"),
    ("http://127.0.0.1.:{four}/a.mp4", "InvalidInputData"),
    ("http://127.0.0.2:{other}/a.mp4", "InvalidInputData"),
    ("http://0.0.0.0:{four}/a.mp4", "InvalidInputData"),
    ("http://[::1]:{six}/a.mp4", "InvalidInputData"),
    ("http://[::]:{six}/a.mp4", "InvalidInputData"),
    ("http://[0:0:0:0:0:0:0:1]:{six}/a.mp4", "InvalidInputData"),
    ("http://[::ffff:127.0.0.1]:{four}/a.mp4", "InvalidInputData"),
    ("http://[::ffff:7f00:1]:{four}/a.mp4", "InvalidInputData"),
    ("http://[::127.0.0.1]:{four}/a.mp4", "InvalidInputData"),
    ("http://[64:ff9b::127.0.0.1]:{four}/a.mp4", "InvalidInputData"),
    ("http://[2002:7f00:1::]:{four}/a.mp4", "InvalidInputData"),
    ("http://{own_host}:{own}/a.mp4", "InvalidInputData"),
    # other spellings of its number
    ("http://2130706433:{four}/a.mp4", "ParameterError"),
    ("http://0x7f000001:{four}/a.mp4", "ParameterError"),
    ("http://0x7f.0.0.1:{four}/a.mp4", "ParameterError"),
    ("http://017700000001:{four}/a.mp4", "ParameterError"),
    ("http://0177.0.0.01:{four}/a.mp4", "ParameterError"),
    ("http://127.1:{four}/a.mp4", "ParameterError"),
    ("http://127.0.1:{four}/a.mp4", "ParameterError"),
    ("http://0:{four}/a.mp4", "ParameterError"),
    ("http://１２７.0.0.1:{four}/a.mp4", "ParameterError"),
    ("http://127。0。0。1:{four}/a.mp4", "ParameterError"),
    ("http://%31%32%37.0.0.1:{four}/a.mp4", "ParameterError"),
    # parts that parsers read differently
    ("http://example.com@127.0.0.1:{four}/a.mp4", "InvalidInputData"),
    ("http://example.com:80@127.0.0.1:{four}/a.mp4", "InvalidInputData"),
    ("http://127.0.0.1:{four}\\@example.com/a.mp4", "ParameterError"),
    ("http://a@example.com@127.0.0.1:{four}/", "ParameterError"),
    ("http://127.0.0.1:{four}#@example.com/", "ParameterError"),
    ("http://127.0.0.1 :{four}/", "ParameterError"),
    ("http://127.0.0.1:{four}\t/", "ParameterError"),
    ("http://127.0.0.1:{four}/\r\nHost: example.com", "ParameterError"),
    ("http:127.0.0.1:{four}/", "ParameterError"),
    ("http:///127.0.0.1:{four}/", "ParameterError"),
    ("//127.0.0.1:{four}/a.mp4", "ParameterError"),
    # networks that clouds keep their secrets in
    ("http://169.254.169.254/latest/meta-data/iam/security-credentials/", "InvalidInputData"),
    ("http://[fd00:ec2::254]/latest/meta-data/", "InvalidInputData"),
    ("http://[::ffff:a9fe:a9fe]/latest/meta-data/", "InvalidInputData"),
    ("http://2852039166/latest/meta-data/", "ParameterError"),
    ("http://100.100.100.200/latest/meta-data/", "InvalidInputData"),
    ("http://168.63.129.16/machine", "InvalidInputData"),
    # what only ffmpeg would understand
    ("file:///etc/passwd", "InputNotSupported"),
    ("FILE:/etc/passwd", "InputNotSupported"),
    ("/etc/passwd", "ParameterError"),
    ("concat:/etc/passwd|http://127.0.0.1:{four}/", "InputNotSupported"),
    ("concatf:http://127.0.0.1:{four}/", "InputNotSupported"),
    ("subfile,,start,0,end,0,,:/etc/passwd", "ParameterError"),
    ("data:video/mp4;base64,AAAA", "InputNotSupported"),
    ("crypto:http://127.0.0.1:{four}/", "InputNotSupported"),
    ("cache:http://127.0.0.1:{four}/", "InputNotSupported"),
    ("async:http://127.0.0.1:{four}/", "InputNotSupported"),
    ("hls+http://127.0.0.1:{four}/a.m3u8", "InputNotSupported"),
    ("tcp://127.0.0.1:{four}", "InputNotSupported"),
    ("unix:/var/run/docker.sock", "InputNotSupported"),
    ("gopher://127.0.0.1:{four}/_GET", "InputNotSupported"),
    ("ftp://127.0.0.1:{four}/a.mp4", "InputNotSupported"),
    ("pipe:0", "InputNotSupported"),
    # ports and objects that are no media
    ("http://127.0.0.1:22/", "ParameterError"),
    ("http://127.0.0.1:0/", "ParameterError"),
    ("s3://../a.mp4", "ParameterError"),
    ("s3://someone-elses/a.mp4", "NotFound"),
    # live streams
    ("rtmp://127.0.0.1:{four}/app/hush4711", "InvalidInputData"),
    ("rtmp://localhost:{four}/app/key", "InvalidInputData"),
    ("rtmps://[::1]:{six}/app/key", "InvalidInputData"),
    ("rtsp://admin:hush4711@127.0.0.1:{four}/", "InvalidInputData"),
    ("srt://127.0.0.1:{four}?passphrase=hush4711hush", "InvalidInputData"),
    ("srt://0.0.0.0:{four}?mode=listener", "InvalidInputData"),
    ("srt://93.184.216.34:9000?mode=rendezvous", "InvalidInputData"),
    ("udp://0.0.0.0:{four}", "InvalidInputData"),
    ("udp://@239.1.1.1:5000", "InvalidInputData"),
    ("udp://example.com:5000?localaddr=127.0.0.1", "ParameterError"),
    ("udp://127.0.0.1:{four}?sources=127.0.0.1", "ParameterError"),
    ("rtmp://127.0.0.1:{four}/app/key swfVfy=1", "ParameterError"),
]


@pytest.mark.parametrize(("url", "code"), URLS, ids=[ascii(url)[1:60] for url, _ in URLS])
def test_a_hostile_address_reaches_nobody(
    store: S3ObjectStore, settings: Settings, traps: dict[str, Trap], url: str, code: str
) -> None:
    ports = {name: listening.port for name, listening in traps.items()}
    if any(f"{{{name}}}" in url and name not in ports for name in ("six", "own")):
        pytest.skip("this machine has no such address")
    places = {"own_host": own_address(), **ports}
    if url.startswith("srt:") and not has_protocol("srt", "input", settings):
        code = "InputNotSupported"
    settings = settings.model_copy(update={"live_reconnect_seconds": 0.0})
    assert failed(store, settings, url.format(**places))["code"] == code
    assert {name: listening.caught for name, listening in traps.items()} == dict.fromkeys(traps, 0)


@pytest.fixture
def server() -> Iterator[Web]:
    with web() as running:
        yield running


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_reaches_nobody(
    store: S3ObjectStore, settings: Settings, traps: dict[str, Trap], server: Web, clip: Clips, tmp_path: Path, name: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    hostile = HOSTILE[name]
    content = hostile.make(World("127.0.0.2", traps["other"].port, str(secret), lambda name: clip(name).read_bytes()))
    server.answers["/clip.mp4"] = lambda exchange: exchange.reply(200, content, Content_Type="video/mp4")
    settings = settings.model_copy(update={"allowed_networks": ("127.0.0.1/32",)})
    error = failed(store, settings, server.url("/clip.mp4"))
    assert error["code"] in {error.code for error in hostile.errors}, error
    assert str(tmp_path) not in str(error)
    assert {name: listening.caught for name, listening in traps.items()} == dict.fromkeys(traps, 0)


def test_the_index_at_the_end_costs_no_requests(store: S3ObjectStore, settings: Settings, server: Web, clip: Clips) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.reply(200, clip("moov_at_end").read_bytes(), ETag='"1"')

    server.answers["/film.mp4"] = answer
    settings = settings.model_copy(update={"allowed_networks": ("127.0.0.1/32",)})
    task = FileTask(store, settings, profile(width=64, height=64), server.url("/film.mp4"))
    assert task.plan().status == "done"
    # One to know the version that is meant, one that fetches it for all units.
    assert len(server.requests) == 2
    assert not any("Range" in exchange.headers for exchange in server.requests)
