"""The reference uploader against real S3 and an API that fails at will."""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.errors import AccessDenied, Cancelled, InvalidInputData, StorageError
from include.media_store.objects import S3ObjectStore
from include.uploads import send
from include.uploads.__main__ import main
from include.uploads.api_client import UploadApi
from include.uploads.file_range import FileRange
from include.uploads.progress_bar import ProgressBar
from include.uploads.send import Sender
from include.uploads.writers import UrlWriter
from tests.uploads.api import KEY, FakeApi

PART = 2**20
CONTENT = random.Random(11).randbytes(4 * PART + 4321)
ATOM = "atom-1"


@pytest.fixture
def server(store: S3ObjectStore, s3_connection: Any, bucket: str) -> Iterator[FakeApi]:
    with FakeApi(store, s3_connection, bucket, PART) as server:
        yield server
        server.shutdown()


@pytest.fixture
def api(server: FakeApi) -> Iterator[UploadApi]:
    api = UploadApi(server.url, KEY)
    yield api
    api.close()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(CONTENT)
    return path


def sender(api: UploadApi, film: Path, body: dict[str, Any] | None = None, **arguments: Any) -> Sender:
    return Sender(api, film, ATOM, body or {"destinations": ["s3Bucket"]}, first_wait=0.01, **arguments)


def arrived(server: FakeApi, upload: dict[str, Any]) -> bytes:
    return b"".join(server.store.get_bytes(server.bucket, part["key"]) for part in upload["parts"])


@pytest.mark.parametrize("mode", ["urls", "sts"])
def test_a_file_arrives_in_parts(server: FakeApi, api: UploadApi, film: Path, mode: Any) -> None:
    upload = sender(api, film, mode=mode).send()
    assert arrived(server, upload) == CONTENT
    assert server.uploads.read(ATOM, upload["id"]).sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert [path.name for path in film.parent.iterdir()] == ["film.mp4"]
    # Bytes never go through the API.
    assert ("GET " + upload["id"] + "/parts/0/url" in server.calls) == (mode == "urls")


@pytest.mark.parametrize("mode", ["urls", "sts"])
def test_what_was_sent_is_not_sent_again(server: FakeApi, api: UploadApi, film: Path, mode: Any) -> None:
    first = sender(api, film, mode=mode, parallel=1)
    stop_after(first, 2)
    with pytest.raises(Cancelled):
        first.send()
    before = [one for one in server.store.list(server.bucket, f"uploads/{ATOM}/") if one.size]
    stamps = {one.key: server.s3.head_object(Bucket=server.bucket, Key=one.key)["LastModified"] for one in latest(before)}
    assert len(stamps) == 2
    upload = sender(api, film, mode=mode).send()
    assert arrived(server, upload) == CONTENT
    for key, stamp in stamps.items():
        assert server.s3.head_object(Bucket=server.bucket, Key=key)["LastModified"] == stamp
    assert len(server.uploads.list(ATOM)) == 1


def latest(refs: list[Any]) -> list[Any]:
    newest = max(ref.key.split("/")[2] for ref in refs)
    return [ref for ref in refs if ref.key.split("/")[2] == newest]


def stop_after(one: Sender, parts: int) -> None:
    """Stop the sender as Ctrl-C does, once so many parts are there."""
    make = one._writer

    class Stopping:
        def __init__(self, upload: Any) -> None:
            self.inner, self.sent = make(upload), 0

        def put(self, n: int, body: FileRange) -> None:
            self.inner.put(n, body)
            self.sent += 1
            if self.sent == parts:
                one.stop()

    one._writer = Stopping  # type: ignore[method-assign,assignment]


def sent_parts(server: FakeApi) -> list[int]:
    return [int(call.split("/")[2]) for call in server.calls if "/parts/" in call]


def test_what_one_destination_refuses_is_sent_to_the_other(server: FakeApi, api: UploadApi, film: Path) -> None:
    body = {"destinations": ["youtube", "s3Bucket"]}
    first = sender(api, film, body, parallel=1)
    stop_after(first, 1)
    with pytest.raises(Cancelled):
        first.send()
    (upload,) = server.uploads.list(ATOM)
    server.uploads.set_destination(ATOM, upload.id, "youtube", status="failed", error="The quota is used up.")
    assert arrived(server, sender(api, film, body).send()) == CONTENT
    assert len(server.uploads.list(ATOM)) == 1
    assert sorted(sent_parts(server)) == [0, 1, 2, 3, 4]


def test_an_upload_that_fails_at_every_destination_is_an_error(server: FakeApi, api: UploadApi, film: Path) -> None:
    one = sender(api, film)
    upload = one._create()
    send_parts = one._send_parts

    def fails_meanwhile(*arguments: Any) -> None:
        send_parts(*arguments)
        server.uploads.set_destination(ATOM, upload["id"], "s3Bucket", status="failed", error="Timed out.")

    one._send_parts = fails_meanwhile  # type: ignore[method-assign]
    with pytest.raises(InvalidInputData, match="Timed out"):
        one.send()


def test_a_url_that_has_expired_is_replaced(server: FakeApi, api: UploadApi, film: Path) -> None:
    server.expired = 3
    assert arrived(server, sender(api, film).send()) == CONTENT


def test_credentials_are_renewed_before_they_expire(server: FakeApi, api: UploadApi, film: Path) -> None:
    server.credential_seconds = 30
    upload = sender(api, film, mode="sts", parallel=1).send()
    assert arrived(server, upload) == CONTENT
    assert server.calls.count(f"POST {upload['id']}/credentials") == len(upload["parts"])


@pytest.mark.parametrize(("skew", "renewals"), [(300.0, 0), (-300.0, 0)])
def test_expiry_is_of_the_servers_clock(server: FakeApi, api: UploadApi, film: Path, skew: float, renewals: int) -> None:
    server.skew = skew
    upload = sender(api, film, mode="sts").send()
    assert server.calls.count(f"POST {upload['id']}/credentials") == renewals


def test_a_clock_that_aws_would_refuse_sends_to_urls(server: FakeApi, api: UploadApi, film: Path) -> None:
    server.skew = 3600
    upload = sender(api, film, mode="sts").send()
    assert arrived(server, upload) == CONTENT
    assert f"GET {upload['id']}/parts/0/url" in server.calls


def test_a_server_that_is_restarted_is_waited_for(server: FakeApi, api: UploadApi, film: Path) -> None:
    one = sender(api, film)
    upload = one._create()
    server.failures = 3
    assert one.send()["id"] == upload["id"]


def test_a_part_of_the_wrong_size_is_sent_again(server: FakeApi, api: UploadApi, film: Path) -> None:
    one = sender(api, film)
    upload = one._create()
    server.store.put_bytes(server.bucket, upload["parts"][1]["key"], b"short")
    assert arrived(server, one.send()) == CONTENT


def wrong_part(server: FakeApi, one: Sender, n: int) -> dict[str, Any]:
    """Begin an upload of which part ``n`` is there with a wrong size, which is noticed, and the others as they should be."""
    upload = one._create()
    for part in upload["parts"]:
        server.store.put_bytes(server.bucket, part["key"], CONTENT[part["start"] : part["end"]])
    server.store.put_bytes(server.bucket, upload["parts"][n]["key"], b"short")
    assert set(server.noticed(server.uploads.read(ATOM, upload["id"])).landed.errors) == {n}
    return upload


def test_a_part_of_which_an_old_error_is_still_told_is_sent_once(server: FakeApi, api: UploadApi, film: Path) -> None:
    one = sender(api, film)
    wrong_part(server, one, 1)
    server.stale_answers = 4
    assert arrived(server, one.send()) == CONTENT
    assert sent_parts(server) == [1]


def test_a_part_that_stays_wrong_however_often_it_is_sent_is_an_error(
    server: FakeApi, api: UploadApi, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "_NOTICE_SECONDS", 0.5)
    one = sender(api, film)
    wrong_part(server, one, 1)
    put = UrlWriter.put

    def spoils(writer: UrlWriter, n: int, body: FileRange) -> None:
        put(writer, n, body)
        server.store.put_bytes(server.bucket, server.uploads.list(ATOM)[0].part(n).key, b"short")

    monkeypatch.setattr(UrlWriter, "put", spoils)
    with pytest.raises(StorageError, match="still lacks parts after 5 attempts"):
        one.send()
    assert sent_parts(server) == [1] * 5


def test_another_version_of_the_file_is_another_upload(server: FakeApi, api: UploadApi, film: Path) -> None:
    old = sender(api, film)._create()
    film.write_bytes(CONTENT[::-1])
    os.utime(film, ns=(1, 1))
    upload = sender(api, film).send()
    assert upload["id"] != old["id"]
    assert arrived(server, upload) == CONTENT[::-1]


@pytest.mark.parametrize(
    "change", [{"destinations": ["youtube"]}, {"title": "Another"}, {"privacy": "public"}], ids=lambda change: next(iter(change))
)
def test_what_is_asked_for_otherwise_is_another_upload(
    server: FakeApi, api: UploadApi, film: Path, change: dict[str, Any]
) -> None:
    body = {"destinations": ["s3Bucket"], "title": "One", "privacy": "private"}
    old = sender(api, film, body)._create()
    new = sender(api, film, body | change)
    assert new.send()["id"] != old["id"]
    again = sender(api, film, body)._create()
    assert sender(api, film, dict(reversed(body.items()))).send()["id"] == again["id"]


def test_a_file_that_changes_meanwhile_is_an_error(server: FakeApi, api: UploadApi, film: Path) -> None:
    one = sender(api, film)
    os.utime(film, ns=(1, 1))
    with pytest.raises(InvalidInputData, match="changed"):
        one.send()


def test_a_file_beside_which_nothing_can_be_kept_arrives_all_the_same(server: FakeApi, api: UploadApi, tmp_path: Path) -> None:
    # As on a card that is mounted read-only: neither writing the note nor removing it is possible.
    film = tmp_path / f"{'f' * 246}.mp4"
    film.write_bytes(CONTENT)
    upload = sender(api, film).send()
    assert arrived(server, upload) == CONTENT


def test_a_file_whose_name_is_no_utf8_is_sent_under_one_that_is(server: FakeApi, api: UploadApi, tmp_path: Path) -> None:
    film = tmp_path / os.fsdecode(b"K\xe4se.mp4")
    film.write_bytes(CONTENT)
    upload = sender(api, film).send()
    assert server.uploads.read(ATOM, upload["id"]).filename == "K\ufffdse.mp4"


def test_a_wrong_key_is_told_in_the_servers_words(server: FakeApi, film: Path) -> None:
    with pytest.raises(AccessDenied, match="key is missing or wrong"):
        sender(UploadApi(server.url, "wrong"), film).send()


def test_bytes_that_arrive_as_others_are_noticed(server: FakeApi, api: UploadApi, film: Path) -> None:
    import httpx

    def swap(request: httpx.Request) -> httpx.Response:
        request.read()
        return httpx.Response(200, headers={"ETag": f'"{hashlib.md5(b"other").hexdigest()}"'})

    upload = sender(api, film)._create()
    writer = UrlWriter(api, ATOM, upload["id"], transport=httpx.MockTransport(swap))
    with FileRange(film, 0, PART) as body, pytest.raises(Exception, match="arrived as something else"):
        writer.put(0, body)


def test_ctrl_c_ends_the_command_and_the_next_one_goes_on(server: FakeApi, film: Path, tmp_path: Path) -> None:
    big = tmp_path / "big.mp4"
    big.write_bytes(CONTENT * 8)
    command = [sys.executable, "-m", "include.uploads", "send", str(big), "--atom", ATOM, "--url", server.url, "--parallel", "1"]
    environment = os.environ | {"REELFLOW_API_KEY": KEY}
    server.hold_from = 4
    # What a shell has put into the background ignores it, and so would whatever the tests start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any("/parts/4/" in call for call in server.calls):
        time.sleep(0.01)
    first.send_signal(signal.SIGINT)
    server.gate.set()
    _, said = first.communicate(timeout=60)
    assert first.returncode == 130, said
    assert b"goes on where it stopped" in said
    assert b"Traceback" not in said
    server.calls.clear()
    second = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=True)
    assert b"all 33 parts have arrived" in second.stdout
    assert not any("/parts/0/" in call for call in server.calls)
    assert KEY.encode() not in second.stdout + second.stderr + said
    assert b"Signature" not in second.stdout + second.stderr + said
    (upload,) = server.uploads.list(ATOM)
    whole = b"".join(server.store.get_bytes(server.bucket, part.key) for part in upload.parts)
    assert whole == CONTENT * 8


def test_the_command_says_what_is_wrong(film: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REELFLOW_API_KEY", raising=False)
    assert main(["send", str(film), "--atom", ATOM]) == 1
    assert "REELFLOW_API_KEY" in capsys.readouterr().err
    assert main(["send", str(film) + "x", "--atom", ATOM, "--key", "k"]) == 1
    assert "No such file" in capsys.readouterr().err
    assert main(["send", str(film), "--atom", ATOM, "--key", "k", "--url", "http://127.0.0.1:1"]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_a_range_can_be_read_again(film: Path) -> None:
    counted: list[int] = []
    with FileRange(film, 10, 1010, counted.append) as body:
        assert body.read() == CONTENT[10:1010]
        body.seek(500)
        assert body.read(100) == CONTENT[510:610]
        assert body.tell() == 600
        assert body.seek(0, io.SEEK_END) == 1000
    assert sum(counted) == 1000


def test_the_bar_is_for_terminals_only() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, drawn in ((io.StringIO(), ""), (Terminal(), "50.0%")):
        with ProgressBar("Sending", 100, stream) as bar:
            bar.add(50)
        assert drawn in stream.getvalue()
        assert bool(stream.getvalue()) == bool(drawn)
