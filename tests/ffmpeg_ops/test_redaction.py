"""What command lines and messages show of addresses."""

from __future__ import annotations

import pytest

from include.ffmpeg_ops.redaction import redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtmp://user:word@host:1935/live/key?token=1", "rtmp://host:1935/...?..."),
        ("'rtmps://host/live/key with'", "'rtmps://host/... with'"),
        ("srt://[::1]:9000?passphrase=word", "srt://[::1]:9000?..."),
        ("udp://239.0.0.1:1234", "udp://239.0.0.1:1234"),
        ("rtsp://a@host/cam: 404", "rtsp://host/...: 404"),
        ("https://host/path/file.mp4?X-Amz-Signature=1 -f", "https://host/path/file.mp4?... -f"),
        ("file:/tmp/a.mp4 24/1", "file:/tmp/a.mp4 24/1"),
    ],
)
def test_an_address_is_shown_without_its_secrets(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_secret_options_and_keys_are_hidden_in_whatever_is_said() -> None:
    argv = ("ffmpeg", "-passphrase", "open sesame", "-srt_streamid", "abc", "rtmp://host/live/s3cret?a=1")
    text = "ffmpeg -passphrase 'open sesame' -srt_streamid abc; server says: s3cret?a=1 is taken, open sesame"
    assert redacted(text, argv) == "ffmpeg -passphrase ... -srt_streamid ...; server says: ... is taken, ..."
