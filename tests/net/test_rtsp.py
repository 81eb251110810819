from __future__ import annotations

import pytest

from include.errors import InputNotSupported, InvalidInputData, MediaError
from include.net.rtsp import RtspWatch

OK = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 4\r\n\r\nbody"
PACKET = b"$\x00\x00\x0c" + bytes(12)
MOVED = b"RTSP/1.0 302 Found\r\nLocation: rtsp://10.0.0.1/\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_answers_packets_and_requests_pass_however_they_are_cut(size: int) -> None:
    # What a packet or a body holds is nobody's answer.
    stream = OK + PACKET + b"$\x01" + len(MOVED).to_bytes(2, "big") + MOVED + OK + b"OPTIONS * RTSP/1.0\nCSeq: 9\n\n" + PACKET
    watch = RtspWatch()
    for start in range(0, len(stream), size):
        watch(stream[start : start + size])


def one_by_one(sent: bytes) -> None:
    watch = RtspWatch()
    for position in range(len(sent)):
        watch(sent[position : position + 1])


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        pytest.param(MOVED, InputNotSupported, id="moved"),
        pytest.param(OK + PACKET + MOVED, InputNotSupported, id="moved later"),
        pytest.param(MOVED.replace(b"\r", b""), InputNotSupported, id="lines without CR"),
        pytest.param(MOVED.replace(b"302", b"3\r02"), InputNotSupported, id="CR within a line"),
        pytest.param(b" \t" + MOVED, InputNotSupported, id="spaces before"),
        pytest.param(MOVED.replace(b"302", b"  \t305"), InputNotSupported, id="spaces between"),
        pytest.param(MOVED.replace(b"302", b"302abc"), InvalidInputData, id="a status with letters"),
        pytest.param(MOVED.replace(b"302", b"+302"), InvalidInputData, id="a status with a sign"),
        pytest.param(MOVED.replace(b" 302", b"\x0b200 302"), InputNotSupported, id="another kind of space"),
        pytest.param(MOVED.replace(b"RTSP", b"rtsp"), InvalidInputData, id="neither answer nor request"),
        pytest.param(b"\r\n" + MOVED, InvalidInputData, id="an empty message"),
        pytest.param(b"RTSP/1.0 200 OK\r\n\0\r\n" + MOVED, InvalidInputData, id="a NUL, which ends ffmpeg's header"),
        pytest.param(b"RTSP/1.0 200 OK\r\n$\x00\x00\x10" + bytes(16), InvalidInputData, id="a packet in a header"),
        pytest.param(b"$\x00\x00\x04" + MOVED, InvalidInputData, id="a packet that ffmpeg does not skip"),
        pytest.param(OK.replace(b": 4", b": 4\r\nContent-length: 0") + MOVED, InvalidInputData, id="two lengths"),
        pytest.param(OK.replace(b": 4", b": -4") + MOVED, InvalidInputData, id="a negative length"),
        pytest.param(OK.replace(b": 4", b": 4x") + MOVED, InvalidInputData, id="a length with letters"),
        pytest.param(OK.replace(b": 4", b": 9999999"), InvalidInputData, id="a long body"),
        pytest.param(b"x" * 5000, InvalidInputData, id="a line without end"),
        pytest.param(b"RTSP/1.0 200 OK\r\nA: " + b"x" * 5000 + b"\r\n", InvalidInputData, id="a long line"),
        pytest.param(b"RTSP/1.0 200 OK\r\n" + b"A: x\r\n" * 200, InvalidInputData, id="a header without an end"),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", InvalidInputData, id="HTTP"),
    ],
)
def test_redirects_and_what_two_could_read_differently_are_refused(sent: bytes, error: type[MediaError]) -> None:
    with pytest.raises(error):
        RtspWatch()(sent)
    with pytest.raises(error):
        one_by_one(sent)
