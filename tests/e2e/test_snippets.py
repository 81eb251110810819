"""What the README and docs/api.md tell to paste into a shell, pasted into a shell."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clips
from tests.e2e.stack import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack"), pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
EXAMPLE_ID = "483950183749503846"


@pytest.fixture(autouse=True)
def _programs() -> None:
    for program in ("bash", "curl", "openssl", "od"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def blocks(page: str, wanted: str) -> list[str]:
    """The shell blocks of a page that hold ``wanted``."""
    found = re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    return [block for block in found if wanted in block]


def documents(text: str) -> Iterator[dict[str, Any]]:
    """The JSON documents of an output, which have nothing between them."""
    rest, decoder = text.strip(), json.JSONDecoder()
    while rest:
        document, end = decoder.raw_decode(rest)
        yield document
        rest = rest[end:].lstrip()


def paste(stack: RunningStack, script: str, **variables: str) -> list[dict[str, Any]]:
    """Run a block as bash does, on this stack's ports; return what the server answered."""
    client, public, private = stack.stack.signing_key
    for documented, actual in (
        ("http://127.0.0.1:8080", stack.stack.airflow_url),
        ("http://127.0.0.1:5000", stack.stack.aws_url),
    ):
        script = script.replace(documented, actual)
    # The test has put the file there; not everybody has AWS's command line.
    script = "".join(line for line in script.splitlines(keepends=True) if not line.startswith(("aws ", "export AWS_")))
    keys = {"KEY": stack.stack.api_key, "CLIENT_CODE": client, "PUBLIC_KEY": public, "PRIVATE_KEY": private}
    here = {"PATH": os.environ["PATH"], "HOST": stack.stack.airflow_url, "NO_PROXY": "127.0.0.1"}
    command = ["bash", "-euo", "pipefail", "-c", script]
    run = subprocess.run(command, env=here | keys | variables, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    return list(documents(run.stdout))


def test_the_tasks_api_takes_what_its_page_tells_to_paste(stack: RunningStack, clip: Clips) -> None:
    stack.upload(clip("two_frames"), "in/talk.mp4")
    function, create, query, listing, profiles = blocks("docs/api.md", "task")
    (created,) = paste(stack, function + create)
    assert created.keys() == {"task_id"}
    (task,) = paste(stack, function + query, TASK_ID=created["task_id"])
    assert task["task_id"] == created["task_id"]
    (page,) = paste(stack, function + listing)
    assert "tasks" in page
    listed, shown, made, deleted = paste(stack, function + profiles)
    assert shown["profile_name"] == "video_mp4_640x360_800kbps"
    assert made == deleted
    assert "profiles" in listed


def test_the_readme_tells_what_can_be_pasted(stack: RunningStack, clip: Clips) -> None:
    stack.upload(clip("two_frames"), "in/talk.mp4")
    (function,) = blocks("docs/api.md", "task() {")
    (tasks,) = blocks("README.md", "task POST")
    create, query = tasks.split("\ntask GET")
    (created,) = paste(stack, function + create)
    (task,) = paste(stack, f"{function}\ntask GET{query.replace(EXAMPLE_ID, created['task_id'])}")
    assert task["task_id"] == created["task_id"]
    (transcode,) = blocks("README.md", "/prod/videoTranscode")
    submit, status = transcode.split("\ncurl -sS -H")
    (submitted,) = paste(stack, submit)
    (followed,) = paste(stack, f"curl -sS -H{status}", STATUS_URL=submitted["status_url"])
    assert [video["src"] for video in followed["videos"]] == ["in/talk.mp4"]
    (upscale,) = blocks("README.md", '/prod -H "x-api-key')
    (started,) = paste(stack, upscale)
    assert started["message"] == "in/talk.mp4 started"


def test_the_page_of_super_resolution_tells_what_can_be_pasted(stack: RunningStack, clip: Clips) -> None:
    stack.upload(clip("two_frames"), "clips/holiday.mp4")
    (upscale,) = blocks("docs/api.md", '"$HOST/prod"')
    (started,) = paste(stack, upscale)
    assert started["output_key"] == "clips/holiday_x2.mp4"
