"""No more processes work side by side than there are slots."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from include.errors import Cancelled
from include.media_store.slots import slot


def never() -> None:
    raise AssertionError("a slot was free")


def give_up() -> None:
    raise Cancelled("The work was cancelled.")


def test_as_many_hold_slots_as_there_are_and_the_next_waits(tmp_path: Path) -> None:
    with slot(tmp_path, 2, never):
        with slot(tmp_path, 2, never), pytest.raises(Cancelled), slot(tmp_path, 2, give_up):
            pass
        with slot(tmp_path, 2, never):
            pass


def test_who_waits_gets_the_slot_that_becomes_free(tmp_path: Path) -> None:
    waiting, order = threading.Event(), []

    def second() -> None:
        with slot(tmp_path, 1, waiting.set):
            order.append("second")

    with slot(tmp_path, 1, never):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_killed_process_holds_no_slot(tmp_path: Path) -> None:
    program = f"""
        import time
        from pathlib import Path
        from include.media_store.slots import slot
        with slot(Path({str(tmp_path)!r}), 1, lambda: None):
            print("ready", flush=True)
            time.sleep(600)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "ready"
    with pytest.raises(Cancelled), slot(tmp_path, 1, give_up):
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 10

    def in_time() -> None:
        assert time.monotonic() < deadline

    with slot(tmp_path, 1, in_time):
        pass
