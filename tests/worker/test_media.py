from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from functools import partial
from importlib import import_module

import pytest

from include.worker.media import MediaTools


@pytest.mark.parametrize("field", fields(MediaTools), ids=lambda field: field.name)
def test_every_tool_is_a_function_that_there_is(field: object) -> None:
    tool = getattr(MediaTools(), field.name)  # type: ignore[attr-defined]
    if isinstance(tool, partial):
        module, name = tool.args
        room = "net" if tool.func.__name__ == "_net" else "ffmpeg_ops"
        tool = getattr(import_module(f"include.{room}.{module}"), name)
    assert callable(tool)


def test_units_are_run_without_waiting_for_what_few_of_them_need() -> None:
    slow = {"boto3", "ffmpeg", "m3u8", "psutil", "yaml"}
    code = f"import sys, include.worker.execute; print(*sorted({slow!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
