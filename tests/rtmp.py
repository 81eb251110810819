"""An RTMP server for tests: nginx with its RTMP module, on a loopback port, which records what is published."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import free_port

MODULES = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"), Path("/usr/share/nginx/modules"))

CONFIGURATION = """
load_module {module};
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 64; }}
rtmp {{
  access_log off;
  server {{
    listen 127.0.0.1:{port};
    chunk_size 4096;
    application live {{ live on; }}
    application kept {{ live on; record all; record_path {folder}; record_unique on; }}
  }}
}}
"""


@dataclass
class RtmpServer:
    """The server; what is published to ``kept/<name>`` is recorded, a file for each publication."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def url(self, application: str, name: str) -> str:
        return f"rtmp://127.0.0.1:{self.port}/{application}/{name}"

    def recordings(self, name: str) -> list[Path]:
        """Files of what was published under the name, oldest first."""
        return sorted(self.folder.glob(f"{name}-*.flv"), key=lambda path: path.stat().st_ctime_ns)

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert time.monotonic() < deadline, (self.folder / "error.log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def rtmp_server(folder: Path) -> Iterator[RtmpServer]:
    """Run a server; skips where nginx or its RTMP module is not installed."""
    module = next((path for place in MODULES if (path := place / "ngx_rtmp_module.so").exists()), None)
    if shutil.which("nginx") is None or module is None:
        pytest.skip("nginx with its RTMP module is not installed (Debian: libnginx-mod-rtmp)")
    folder.mkdir(parents=True, exist_ok=True)
    server = RtmpServer(folder, free_port())
    (folder / "nginx.conf").write_text(CONFIGURATION.format(module=module, folder=folder, port=server.port))
    server.start()
    try:
        yield server
    finally:
        server.stop()
