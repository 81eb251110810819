from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from include.errors import InputNotSupported, InvalidInputData, OutputNotSupported
from include.ffmpeg_ops.tools import has_protocol
from include.net.relay import Guarded, guarded_source, guarded_target
from include.net.tunnel import Tunnel
from include.net.urls import parse_source, parse_target
from include.settings import Settings
from tests.conftest import Clips
from tests.media import ffmpeg
from tests.net.certificates import Authority
from tests.net.peers import rtsp_server, tls_door
from tests.net.web import trap
from tests.servers import free_port

SETTINGS = Settings(allowed_networks=("127.0.0.1/32", "239.0.0.0/8"), connect_seconds=5)
PUBLIC = ["93.184.216.34", "2606:2800:220:1::1"]


def local(host: str, port: int) -> list[str]:
    """Every name is this machine."""
    return ["127.0.0.1"]


@pytest.mark.parametrize(
    ("url", "addresses", "expected"),
    [
        (
            "rtmp://u:p@live.example/app/key?t=1",
            PUBLIC,
            Guarded("rtmp://u:p@93.184.216.34:1935/app/key?t=1", ("-rtmp_tcurl", "rtmp://live.example/app"), "rtmp,tcp"),
        ),
        (
            "rtmp://live.example:8000/app/instance/key",
            PUBLIC[1:],
            Guarded(
                "rtmp://[2606:2800:220:1::1]:8000/app/instance/key",
                ("-rtmp_tcurl", "rtmp://live.example:8000/app/instance"),
                "rtmp,tcp",
            ),
        ),
        (
            "rtmp://live.example/vod/mp4:a/b.mp4",
            PUBLIC,
            Guarded("rtmp://93.184.216.34:1935/vod/mp4:a/b.mp4", ("-rtmp_tcurl", "rtmp://live.example/vod"), "rtmp,tcp"),
        ),
        (
            "srt://live.example:9000?streamid=#!::r=a%20b,m=publish&passphrase=hush%2Bhush%2B&latency=200000",
            PUBLIC,
            Guarded(
                "srt://93.184.216.34:9000?latency=200000",
                ("-srt_streamid", "#!::r=a b,m=publish", "-passphrase", "hush+hush+"),
                "srt",
            ),
        ),
        ("udp://239.1.1.1:5000?ttl=4", ["239.1.1.1"], Guarded("udp://239.1.1.1:5000?ttl=4", (), "udp")),
    ],
)
def test_ffmpeg_gets_numbers_and_what_servers_need_of_the_name(url: str, addresses: list[str], expected: Guarded) -> None:
    with guarded_target(parse_target(url), SETTINGS, lookup=lambda host, port: addresses) as guarded:
        assert guarded == expected


def test_a_udp_source_listens_on_its_own_address_alone() -> None:
    with guarded_source(parse_source("udp://127.0.0.1:5000"), SETTINGS) as guarded:
        assert guarded.url == "udp://127.0.0.1:5000?localaddr=127.0.0.1"
    with guarded_source(parse_source("udp://@239.1.1.1:5000"), SETTINGS) as guarded:
        assert guarded.url == "udp://239.1.1.1:5000"


@pytest.mark.parametrize(
    "text",
    ["rtmp://x.example/a/b", "rtmps://x.example/a/b", "rtsp://x.example/a", "srt://x.example:9000", "udp://x.example:5000"],
)
def test_a_name_with_a_forbidden_address_is_opened_by_nobody(text: str) -> None:
    source = guarded_source(parse_source(text), SETTINGS, lookup=lambda host, port: ["127.0.0.1", "127.0.0.2"])
    with pytest.raises(InvalidInputData, match="may not be"), source:
        pytest.fail("it was opened")


def test_listening_needs_a_network_that_is_named() -> None:
    for text in ("srt://x.example:9000?mode=listener", "srt://x.example:9000?mode=rendezvous", "udp://x.example:5000"):
        source = guarded_source(parse_source(text), SETTINGS, lookup=lambda host, port: ["93.184.216.34"])
        with pytest.raises(InvalidInputData, match="may not be listened on"), source:
            pytest.fail("it was opened")


def test_what_is_no_live_stream_is_told_apart() -> None:
    with pytest.raises(InputNotSupported), guarded_source(parse_source("https://example.com/a.mp4"), SETTINGS):
        pytest.fail("it was opened")
    with pytest.raises(OutputNotSupported), guarded_target(parse_source("rtsp://example.com/a"), SETTINGS):
        pytest.fail("it was opened")


# -- with real programs


@contextmanager
def running(argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program beside the test."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def listens(port: int, process: subprocess.Popen[str], kind: str) -> str:
    """Return the address that ``process`` has opened the port on; waits for it."""
    for _ in range(100):
        for connection in psutil.Process(process.pid).net_connections(kind):
            if connection.laddr.port == port:
                return str(connection.laddr.ip)
        time.sleep(0.05)
    raise AssertionError(f"nobody listens on {port}")


def read(guarded: Guarded, *formats: str) -> list[str]:
    """Return the command that counts what a source sends."""
    whitelists = ("-protocol_whitelist", guarded.protocols, "-format_whitelist", ",".join(formats))
    return [
        *(ffmpeg(), "-v", "error", *whitelists, *guarded.options, "-analyzeduration", "500000", "-i", guarded.url),
        *("-map", "0:v", "-c", "copy", "-f", "framecrc", "-"),
    ]


def send(clip: Path, guarded: Guarded, muxer: str) -> list[str]:
    """Return the command that sends a clip to a target."""
    return [
        ffmpeg(),
        "-v",
        "error",
        "-re",
        "-i",
        str(clip),
        "-map",
        "0:v",
        "-c",
        "copy",
        "-f",
        muxer,
        *guarded.options,
        guarded.url,
    ]


def frames(text: str) -> int:
    return sum(not line.startswith("#") for line in text.splitlines())


def test_a_stream_over_tls_goes_to_the_server_that_proves_its_name(
    clip: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, port = Authority(tmp_path), free_port()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    receiver = [ffmpeg(), "-v", "error", "-listen", "1", "-i", f"rtmp://127.0.0.1:{port}/app/key"]
    receiver += ["-map", "0:v", "-c", "copy", "-f", "framecrc", "-"]
    with running(receiver) as received, tls_door(authority.server("live.example"), port) as door:
        assert listens(port, received, "tcp") == "127.0.0.1"
        url = parse_target(f"rtmps://live.example:{door.port}/app/key")
        wrong = parse_target(f"rtmps://other.example:{door.port}/app/key")
        with guarded_target(wrong, SETTINGS, lookup=local) as guarded, running(send(clip("short"), guarded, "flv")) as sender:
            assert sender.wait(30) != 0
        assert bytes(door.seen) == b""
        with guarded_target(url, SETTINGS, lookup=local) as guarded, running(send(clip("short"), guarded, "flv")) as sender:
            assert sender.wait(30) == 0
        # Chunks of 128 bytes begin with one of RTMP's own.
        assert f"rtmps://live.example:{door.port}/app".encode() in bytes(door.seen).replace(b"\xc3", b"")
        assert frames(received.communicate(timeout=30)[0]) == 50


def test_srt_is_spoken_with_the_number(clip: Clips) -> None:
    if not has_protocol("srt", "output", SETTINGS):
        pytest.skip("this ffmpeg does not speak SRT")
    port, secret = free_port(), "passphrase=hush+hush%2Bhush"
    source = parse_source(f"srt://127.0.0.1:{port}?mode=listener&{secret}")
    target = parse_target(f"srt://live.example:{port}?streamid=#!::r=a,m=publish&{secret}")
    with (
        guarded_source(source, SETTINGS) as inside,
        guarded_target(target, SETTINGS, lookup=local) as outside,
        running(read(inside, "mpegts")) as receiver,
    ):
        assert listens(port, receiver, "udp") == "127.0.0.1"
        with running(send(clip("short"), outside, "mpegts")) as sender:
            assert sender.wait(30) == 0
        assert frames(receiver.communicate(timeout=30)[0]) > 40


def test_udp_is_heard_on_one_address(clip: Clips) -> None:
    port = free_port()
    source, target = parse_source(f"udp://127.0.0.1:{port}"), parse_target(f"udp://127.0.0.1:{port}?pkt_size=1316")
    with (
        guarded_source(source, SETTINGS) as inside,
        guarded_target(target, SETTINGS) as outside,
        running([*read(inside, "mpegts")[:-1], "-frames:v", "30", "-"]) as receiver,
    ):
        assert listens(port, receiver, "udp") == "127.0.0.1"
        with running(send(clip("plain"), outside, "mpegts")):
            assert frames(receiver.communicate(timeout=30)[0]) == 30


def test_rtsp_is_read_through_the_tunnel_alone(clip: Clips) -> None:
    # What the server says of another sender is of no account: nothing is opened but the one connection.
    with trap() as forbidden, rtsp_server(clip("mpegts"), sender=forbidden.host, port=forbidden.port) as server:
        url = parse_source(f"rtsp://cam.example:{server.port}/stream")
        with guarded_source(url, SETTINGS, lookup=local) as guarded, running(read(guarded, "rtsp")) as reader:
            out, err = reader.communicate(timeout=30)
        assert frames(out) > 40, err
        assert [line.partition(" ")[0] for line in server.asked][:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]


def test_a_redirect_of_rtsp_is_not_followed(tmp_path: Path) -> None:
    with trap() as forbidden, rtsp_server(None, redirect=f"rtsp://{forbidden.host}:{forbidden.port}/x") as server:
        url = parse_source(f"rtsp://cam.example:{server.port}/stream")
        with guarded_source(url, SETTINGS, lookup=local) as guarded, running(read(guarded, "rtsp")) as reader:
            assert reader.wait(30) != 0
        assert server.asked[1].startswith("DESCRIBE")


def test_a_tunnel_ends_though_its_peer_takes_nothing_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        started = time.monotonic()
        with (
            Tunnel(["127.0.0.1"], deaf.getsockname()[1], connect_seconds=5) as tunnel,
            socket.create_connection(("127.0.0.1", tunnel.port)) as client,
        ):
            client.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                while True:
                    client.sendall(bytes(2**20))
        assert time.monotonic() - started < 15
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", tunnel.port))
