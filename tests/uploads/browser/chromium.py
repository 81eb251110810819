"""Headless Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

__all__ = ["Page", "chromium", "open_page"]


def chromium() -> str | None:
    """Return the browser, or ``None`` where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """One page: commands of the DevTools protocol, one after the other."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._last = 0

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of a command."""
        self._last += 1
        self._connection.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._connection.recv(timeout=60))
            if answer.get("id") == self._last:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, awaited."""
        answer = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def visit(self, url: str) -> None:
        """Open an address and wait until its module script has run."""
        self.command("Page.navigate", url=url)
        self.until("window.progress !== undefined")

    def choose(self, selector: str, path: Path) -> None:
        """Choose a file in an input, as a person does."""
        root = self.command("DOM.getDocument")["root"]["nodeId"]
        node = self.command("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.command("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def until(self, expression: str, timeout: float = 60) -> Any:
        """Return the first true value of an expression."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if value := self.evaluate(expression):
                return value
            time.sleep(0.05)
        raise AssertionError(f"{expression}: not within {timeout} s; {self.evaluate('document.body.innerText')}")


@contextmanager
def open_page(folder: Path) -> Iterator[Page]:
    """Start a browser with a fresh profile in ``folder`` and yield its page."""
    browser = chromium()
    assert browser
    log = folder / "chromium.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [
                browser, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}", "--no-first-run",
                "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
                "--no-proxy-server", "about:blank",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"DevTools listening on ws://([^/]+)/", log.read_text(errors="replace"))):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, "Chromium does not answer"
            time.sleep(0.05)
        targets = httpx.get(f"http://{found[1]}/json/list", trust_env=False).json()
        address = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        with connect(address, max_size=None, proxy=None) as connection:
            page = Page(connection)
            page.command("Page.enable")
            page.command("DOM.enable")
            yield page
    finally:
        process.terminate()
        process.wait(30)
