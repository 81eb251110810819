"""Relays whose target cannot be reached."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from include.errors import InvalidInputData
from include.ffmpeg_ops.live.commands import Opened
from include.ffmpeg_ops.live.outlet import Outlet
from include.ffmpeg_ops.live.relay import Relay
from include.ffmpeg_ops.live.transport import Piece
from include.settings import Settings


def test_a_target_that_is_away_when_the_stream_ends_has_failed() -> None:
    outlet = Outlet()
    outlet.put(Piece(bytes(188), b"", time=0, picture=True, key=True))

    @contextmanager
    def away() -> Iterator[Opened]:
        # The stream ends in the pause that follows.
        threading.Timer(0.1, outlet.close).start()
        raise InvalidInputData("It is away.")
        yield

    relay = Relay("rtmp://shown", away, outlet, abort=threading.Event(), settings=Settings())
    relay.start()
    relay.join(10)
    assert relay.state == "failed"
    assert str(relay.error) == "The target rtmp://shown failed: It is away."
