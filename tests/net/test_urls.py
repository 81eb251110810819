from __future__ import annotations

import pytest

from include.errors import InputNotSupported, MediaError, OutputNotSupported, ParameterError
from include.net.urls import MediaUrl, parse_callback, parse_source, parse_target


@pytest.mark.parametrize(
    ("text", "kind", "host", "port", "path"),
    [
        ("https://EXAMPLE.com/a/b.mp4?sig=1", "http", "example.com", 443, "/a/b.mp4"),
        ("HTTP://example.com.:8080", "http", "example.com", 8080, ""),
        ("http://user:p%40ss@example.com/x", "http", "example.com", 80, "/x"),
        ("rtmp://live.example.com/app/key?token=t", "live", "live.example.com", 1935, "/app/key"),
        ("rtmps://live.example.com/app/key", "live", "live.example.com", 443, "/app/key"),
        ("rtsp://admin:pw@cam.example.com/Streaming/1", "live", "cam.example.com", 554, "/Streaming/1"),
        ("srt://example.com:9000?streamid=#!::r=live/x,m=publish", "live", "example.com", 9000, ""),
        ("udp://@239.1.1.1:5000", "live", "239.1.1.1", 5000, ""),
        ("http://93.184.216.34/x", "http", "93.184.216.34", 80, "/x"),
        ("http://[2606:2800:220:1:248:1893:25C8:1946]:8080/x", "http", "2606:2800:220:1:248:1893:25c8:1946", 8080, "/x"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_address_has_the_parts_it_was_written_with(text: str, kind: str, host: str, port: int, path: str) -> None:
    url = parse_source(text)
    assert (url.kind, url.host, url.port, url.path) == (kind, host, port, path)
    assert url.text == text


def test_an_objects_key_is_taken_as_it_is() -> None:
    url = parse_source("s3://media/clips/Ferien #1 (50%).mp4?x")
    assert (url.bucket, url.key) == ("media", "clips/Ferien #1 (50%).mp4?x")
    assert parse_target("s3://media/出力　1.mp4").key == "出力　1.mp4"


SECRETS = [
    ("https://user:hush@example.com/a.mp4?sig=hush", "https://example.com/a.mp4?***"),
    ("rtmp://example.com/app/hush", "rtmp://example.com/app/***"),
    ("rtmps://u:hush@example.com:8443/app/hush/hush?k=hush", "rtmps://example.com:8443/app/***?***"),
    ("srt://example.com:9000?streamid=hush&passphrase=hushhushhush", "srt://example.com:9000?***"),
    ("rtsp://u:hush@example.com/cam", "rtsp://example.com/cam"),
    ("https://example.com/" + "x" * 3000, "https://example.com/" + "x" * 1003 + "…"),
]


@pytest.mark.parametrize(("text", "shown"), SECRETS, ids=range(len(SECRETS)))
def test_what_is_shown_of_an_address_holds_no_secret(text: str, shown: str) -> None:
    url = parse_source(text)
    assert url.redacted == shown
    assert "hush" not in f"{url} {url!r} {[url]}"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ParameterError),
        ("clips/a.mp4", ParameterError),
        ("/etc/passwd", ParameterError),
        ("://example.com/", ParameterError),
        ("file:///etc/passwd", InputNotSupported),
        ("concat:/etc/passwd|/etc/hosts", InputNotSupported),
        ("subfile,,start,0,end,64,,:/etc/passwd", ParameterError),
        ("data:video/mp4;base64,AAAA", InputNotSupported),
        ("pipe:0", InputNotSupported),
        ("ftp://example.com/a.mp4", InputNotSupported),
        ("tcp://example.com:9000", InputNotSupported),
        ("rtmpe://example.com/a/b", InputNotSupported),
        ("http:/example.com/a.mp4", ParameterError),
        ("http:example.com", ParameterError),
        ("http:///a.mp4", ParameterError),
        ("http://example.com:/a", ParameterError),
        ("http://example.com:0/a", ParameterError),
        ("http://example.com:65536/a", ParameterError),
        ("http://example.com:22/a", ParameterError),
        ("http://example.com:80:80/a", ParameterError),
        ("http://exa mple.com/a", ParameterError),
        ("http://example.com/a\r\nHost: b", ParameterError),
        ("http://example.com/a\x00.mp4", ParameterError),
        ("http://example.com\\@127.0.0.1/", ParameterError),
        ("http://a@b@example.com/", ParameterError),
        ("http://example.com/a#@127.0.0.1", ParameterError),
        ("http://例え.jp/", ParameterError),
        ("http://１２７.０.０.１/", ParameterError),
        ("http://-example.com/", ParameterError),
        ("http://a..b/", ParameterError),
        ("http://" + "a." * 130 + "com/", ParameterError),
        ("http://example.com/" + "x" * 4096, ParameterError),
        ("http://2130706433/", ParameterError),
        ("http://127.1/", ParameterError),
        ("http://0177.0.0.1/", ParameterError),
        ("http://0x7f000001/", ParameterError),
        ("http://0x7f.0x0.0x0.0x1/", ParameterError),
        ("http://127.0.0.1.2/", ParameterError),
        ("http://example.0x/", ParameterError),
        ("http://[::1/", ParameterError),
        ("http://[::1]x/", ParameterError),
        ("http://[fe80::1%25eth0]/", ParameterError),
        ("http://[127.0.0.1]/", ParameterError),
        ("http://[::ffff:0x7f.0.0.1]/", ParameterError),
        ("srt://example.com", ParameterError),
        ("srt://example.com:9000?mode=server", ParameterError),
        ("srt://example.com:9000?localaddr=10.0.0.1", ParameterError),
        ("udp://example.com:5000?sources=10.0.0.1", ParameterError),
        ("udp://example.com:5000?localport=22", ParameterError),
        ("s3://media", ParameterError),
        ("s3://media/", ParameterError),
        ("s3://Me dia/a.mp4", ParameterError),
        ("s3://media/a\nb.mp4", ParameterError),
        ("s3://media/../other/a.mp4", ParameterError),
        ("s3://media/" + "ä" * 600, ParameterError),
    ],
    ids=lambda value: ascii(value)[:60] if isinstance(value, str) else None,
)
def test_what_is_no_usable_source_is_refused_with_its_code(text: str, error: type[MediaError]) -> None:
    with pytest.raises(error) as caught:
        parse_source(text)
    assert caught.type is error
    assert caught.value.message.isprintable()
    assert "source_url" in caught.value.message


@pytest.mark.parametrize(
    "text", ["https://example.com/a.mp4", "rtsp://example.com/a", "file:///tmp/a.mp4", "rtp://example.com:5000"]
)
def test_a_target_that_is_not_written_is_not_supported(text: str) -> None:
    with pytest.raises(OutputNotSupported, match="target_url has the scheme"):
        parse_target(text)


def test_a_target_is_no_folder() -> None:
    with pytest.raises(ParameterError, match="names a folder"):
        parse_target("s3://media/out/")


@pytest.mark.parametrize("text", ["s3://media/a", "rtmp://example.com/a/b", "javascript:alert(1)", "https://"])
def test_a_callback_is_an_address_of_the_web(text: str) -> None:
    with pytest.raises(ParameterError, match="callback_url"):
        parse_callback(text)
    assert parse_callback("https://example.com/hook?id=7").query == "id=7"


@pytest.mark.parametrize(
    ("url", "listens"),
    [
        (parse_source("udp://239.1.1.1:5000"), True),
        (parse_target("udp://239.1.1.1:5000"), False),
        (parse_source("srt://example.com:9000?mode=listener"), True),
        (parse_target("srt://example.com:9000?mode=listener"), True),
        (parse_target("srt://example.com:9000?mode=rendezvous"), True),
        (parse_source("srt://example.com:9000?mode=caller"), False),
        (parse_source("rtmp://example.com/a/b"), False),
    ],
    ids=lambda value: value.text if isinstance(value, MediaUrl) else None,
)
def test_who_waits_for_a_peer_listens(url: MediaUrl, listens: bool) -> None:
    assert url.listens is listens
