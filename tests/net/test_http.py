from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.errors import Cancelled, InputNotSupported, InvalidInputData, LimitExceeded, MediaError
from include.net.http import Downloaded, Origin, async_http_client, download, http_client, look_at
from include.net.urls import parse_source
from include.settings import Settings
from tests.net.certificates import Authority
from tests.net.web import Answer, Exchange, Web, trap, web

BODY = bytes(range(256)) * 8192  # 2 MiB
SETTINGS = Settings(allowed_networks=("127.0.0.1/32",), stall_seconds=0.5, connect_seconds=1, max_source_bytes=4 * 2**20)


@pytest.fixture
def server() -> Iterator[Web]:
    with web() as running:
        yield running


def fetch(server: Web, path: str, into: Path, *, settings: Settings = SETTINGS, **arguments: Any) -> Downloaded:
    arguments = {"check": lambda: None, "on_bytes": lambda count: None, "pauses": (0.0, 0.0, 0.0)} | arguments
    return download(parse_source(server.url(path)), into / "file", settings=settings, **arguments)


def whole(exchange: Exchange) -> None:
    exchange.reply(200, BODY, ETag='"1"', Last_Modified="Tue, 01 Sep 2026 10:00:00 GMT")


def cut(*, etag: str | None = '"1"', after: int = len(BODY) // 2) -> Answer:
    """Send a part, then hang up; serve ranges, one per request."""

    def answer(exchange: Exchange) -> None:
        start = int((exchange.headers.get("Range") or "bytes=0-")[6:-1])
        if start:
            part = {"Content_Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}", "ETag": etag}
            exchange.reply(206, BODY[start:], **part)
        else:
            exchange.reply(200, BODY[:after], Content_Length=str(len(BODY)), ETag=etag)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """Answer each request in another way."""
    left = iter(answers)

    def answer(exchange: Exchange) -> None:
        next(left)(exchange)

    return answer


# -- one request is enough


def test_a_file_is_fetched_with_one_request(server: Web, tmp_path: Path) -> None:
    server.answers["/a.mp4"] = whole
    told: list[int] = []
    done = fetch(server, "/a.mp4?sig=x", tmp_path, on_bytes=told.append)
    assert done == Downloaded(len(BODY), '"1"', "Tue, 01 Sep 2026 10:00:00 GMT")
    assert (tmp_path / "file").read_bytes() == BODY
    assert sum(told) == len(BODY)
    assert [exchange.path for exchange in server.requests] == ["/a.mp4?sig=x"]
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_user_and_password_are_sent_to_the_first_host_alone(server: Web, tmp_path: Path) -> None:
    server.answers |= {"/a": lambda exchange: exchange.reply(302, Location="/b"), "/b": whole}
    url = parse_source(server.url("/a", "us%40er:pass@127.0.0.1"))
    download(url, tmp_path / "file", settings=SETTINGS, check=lambda: None, on_bytes=lambda count: None)
    assert server.requests[0].headers["Authorization"] == "Basic dXNAZXI6cGFzcw=="


def test_looking_at_a_file_fetches_nothing(server: Web) -> None:
    server.answers["/a.mp4"] = lambda exchange: exchange.reply(200, b"", Content_Length="3000000", ETag='"7"')
    url = parse_source(server.url("/a.mp4"))
    assert look_at(url, settings=SETTINGS, check=lambda: None) == Origin(3_000_000, '"7"', "")


@pytest.mark.parametrize("how", ["named", "redirected to"])
def test_a_host_that_is_no_international_name_is_invalid(how: str, server: Web, tmp_path: Path) -> None:
    host = "http://xn--ls8h.example/a"
    server.answers["/a"] = lambda exchange: exchange.reply(302, Location=host)
    url = parse_source(host if how == "named" else server.url("/a"))
    with pytest.raises(InvalidInputData, match="is no international name"):
        download(url, tmp_path / "file", settings=SETTINGS, check=lambda: None, on_bytes=lambda count: None)


# -- what breaks off goes on


def test_a_download_that_breaks_off_goes_on_where_it_was(server: Web, tmp_path: Path) -> None:
    server.answers["/a"] = cut()
    assert fetch(server, "/a", tmp_path).size == len(BODY)
    assert (tmp_path / "file").read_bytes() == BODY
    first, second = server.requests
    assert "Range" not in first.headers
    assert second.headers["If-Range"] == '"1"'


def test_a_server_that_is_busy_meanwhile_or_knows_no_ranges_delays_no_more_than_it_must(server: Web, tmp_path: Path) -> None:
    server.answers["/a"] = in_turn(cut(), lambda exchange: exchange.reply(503), lambda exchange: exchange.reply(416), whole)
    assert fetch(server, "/a", tmp_path).size == len(BODY)
    assert ["Range" in exchange.headers for exchange in server.requests] == [False, True, True, False]


def test_what_cannot_be_told_from_another_version_is_fetched_again(server: Web, tmp_path: Path) -> None:
    server.answers["/a"] = in_turn(cut(etag=None), whole)
    assert fetch(server, "/a", tmp_path).size == len(BODY)
    assert (tmp_path / "file").read_bytes() == BODY
    assert "Range" not in server.requests[1].headers


def test_a_file_that_changes_meanwhile_is_fetched_again(server: Web, tmp_path: Path) -> None:
    new = b"new" * 1000
    server.answers["/a"] = in_turn(cut(), cut(etag='"2"'), lambda exchange: exchange.reply(200, new, ETag='"2"'))
    assert fetch(server, "/a", tmp_path) == Downloaded(3000, '"2"', "")
    assert (tmp_path / "file").read_bytes() == new


def test_a_server_that_is_busy_is_asked_again(server: Web, tmp_path: Path) -> None:
    server.answers["/a"] = in_turn(lambda exchange: exchange.reply(503), lambda exchange: exchange.reply(429), whole)
    assert fetch(server, "/a", tmp_path).size == len(BODY)


def test_a_cancelled_download_ends_at_once(server: Web, tmp_path: Path) -> None:
    server.answers["/a"] = lambda exchange: exchange.reply(503)
    started = time.monotonic()

    def check() -> None:
        if time.monotonic() - started > 0.2:
            raise Cancelled("The work was cancelled.")

    with pytest.raises(Cancelled):
        fetch(server, "/a", tmp_path, check=check, pauses=(60.0,))
    assert time.monotonic() - started < 5


# -- what is no good


def drip(exchange: Exchange) -> None:
    exchange.reply(200, Content_Length="1000000")
    for _ in range(100):
        exchange.wfile.write(b"x")
        time.sleep(0.1)


def slow_header(exchange: Exchange) -> None:
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nA: ")
    for _ in range(100):
        exchange.wfile.write(b"x")
        time.sleep(0.1)


def endless(exchange: Exchange) -> None:
    exchange.reply(200, Content_Length=None)
    for _ in range(100):
        exchange.wfile.write(bytes(2**20))


def moved(location: str) -> Answer:
    return lambda exchange: exchange.reply(302, Location=location)


NO_GOOD: dict[str, tuple[Answer, type[MediaError], str]] = {
    "absent": (lambda exchange: exchange.reply(404), InvalidInputData, "answered 404"),
    "forbidden": (lambda exchange: exchange.reply(403), InvalidInputData, "answered 403"),
    "no content": (lambda exchange: exchange.reply(204), InvalidInputData, "answered 204"),
    "a part unasked": (cut(after=0), InvalidInputData, "RemoteProtocolError"),
    "busy for ever": (lambda exchange: exchange.reply(503), InvalidInputData, "answered 503"),
    "too large by its own word": (
        lambda exchange: exchange.reply(200, Content_Length=str(10**15)),
        LimitExceeded,
        "MEDIA_MAX_SOURCE_BYTES",
    ),
    "endless": (endless, LimitExceeded, "MEDIA_MAX_SOURCE_BYTES"),
    "a byte now and then": (drip, InvalidInputData, "sent no more than"),
    "silent": (lambda exchange: time.sleep(2), InvalidInputData, "ReadTimeout"),
    "a header that comes by the byte": (slow_header, InvalidInputData, "Error"),
    "no HTTP": (lambda exchange: exchange.wfile.write(b"SSH-2.0-x\r\n" * 3), InvalidInputData, "RemoteProtocolError"),
    "headers without end": (
        lambda exchange: exchange.wfile.write(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 10**6),
        InvalidInputData,
        "Error",
    ),
    "compressed": (lambda exchange: exchange.reply(200, b"x", Content_Encoding="gzip"), InputNotSupported, "compressed"),
    "compressed twice": (
        lambda exchange: exchange.reply(200, b"x", Content_Encoding="br, gzip"),
        InputNotSupported,
        "compressed",
    ),
    "moved in a circle": (moved("/no-good"), InvalidInputData, "MEDIA_MAX_REDIRECTS"),
    "moved to a file": (moved("file:///etc/passwd"), InputNotSupported, "another protocol"),
    "moved to a stream": (moved("rtmp://example.com/a/b"), InputNotSupported, "another protocol"),
    "moved to an object": (moved("s3://media/a.mp4"), InputNotSupported, "another protocol"),
    "moved nowhere": (moved("http://[::1"), InvalidInputData, "RemoteProtocolError"),
    "moved to a low port": (moved("http://127.0.0.1:22/"), InvalidInputData, "no usable address"),
    "moved to metadata": (moved("http://169.254.169.254/latest/meta-data/"), InvalidInputData, "may not be reached"),
    "moved to a number": (moved("http://2852039166/"), InvalidInputData, "no usable address"),
}


@pytest.mark.parametrize("name", NO_GOOD)
def test_what_is_no_good_ends_with_its_code(server: Web, tmp_path: Path, name: str) -> None:
    server.answers["/no-good"], error, words = NO_GOOD[name]
    with pytest.raises(error, match=words) as caught:
        fetch(server, "/no-good?token=hush", tmp_path, pauses=())
    assert caught.type is error
    assert "hush" not in caught.value.message
    assert (tmp_path / "file").stat().st_size <= SETTINGS.max_source_bytes + 2**20


# -- only what was checked is connected to


def test_redirects_are_followed_to_checked_addresses_alone(server: Web, tmp_path: Path) -> None:
    with trap() as forbidden:
        server.answers |= {"/a": moved("b?x#part"), "/b": whole, "/out": moved(f"http://127.0.0.2:{forbidden.port}/")}
        assert fetch(server, "/a", tmp_path).size == len(BODY)
        assert [exchange.path for exchange in server.requests] == ["/a", "/b?x"]
        with pytest.raises(InvalidInputData, match="may not be reached"):
            fetch(server, "/out", tmp_path)


def changing(*answers: list[str]) -> Callable[[str, int], list[str]]:
    """A name server that answers differently each time."""
    left = iter(answers)
    return lambda host, port: next(left)


def test_a_name_that_changes_its_address_gains_nothing(server: Web, tmp_path: Path) -> None:
    with trap() as forbidden:
        server.answers["/a"] = cut(etag='"1"')
        url = parse_source(f"http://rebind.example:{server.server_port}/a")
        arguments: dict[str, Any] = {"check": lambda: None, "on_bytes": lambda count: None, "pauses": (0.0,)}
        with pytest.raises(InvalidInputData, match="may not be reached"):
            download(url, tmp_path / "file", settings=SETTINGS, lookup=changing(["127.0.0.1"], [forbidden.host]), **arguments)
        with pytest.raises(InvalidInputData, match="may not be reached"):
            download(url, tmp_path / "file", settings=SETTINGS, lookup=changing(["127.0.0.1", forbidden.host]), **arguments)
    assert len(server.requests) == 1


def test_the_next_address_is_tried_where_one_takes_no_connection(server: Web, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"allowed_networks": ("127.0.0.0/8",)})
    server.answers["/a"] = whole
    url = parse_source(f"http://two.example:{server.server_port}/a")
    lookup = changing(["127.0.0.9", "127.0.0.1"])
    download(url, tmp_path / "file", settings=settings, lookup=lookup, check=lambda: None, on_bytes=lambda count: None)
    assert server.requests[0].headers["Host"] == f"two.example:{server.server_port}"


def test_proxies_of_the_environment_are_not_asked(server: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/a"] = whole
    with trap() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.2:{proxy.port}")
        assert fetch(server, "/a", tmp_path).size == len(BODY)


def test_a_certificate_is_checked_for_the_name_and_not_for_the_number(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with web(authority.server("media.example")) as server:
        server.answers["/"] = whole
        with http_client(SETTINGS, verify=authority.client(), lookup=changing(["127.0.0.1"], ["127.0.0.1"])) as client:
            assert client.get(f"https://media.example:{server.server_port}/").content == BODY
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                client.get(f"https://other.example:{server.server_port}/")


def test_an_event_loop_has_the_same_guard(server: Web) -> None:
    server.answers["/"] = whole

    async def ask(host: str) -> int:
        async with async_http_client(SETTINGS) as client:
            return (await client.get(f"http://{host}:{server.server_port}/")).status_code

    assert asyncio.run(ask("127.0.0.1")) == 200
    with trap(), pytest.raises(InvalidInputData):
        asyncio.run(ask("127.0.0.2"))
