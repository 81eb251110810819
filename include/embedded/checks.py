"""What must be true before a stack is started."""

from __future__ import annotations

import socket
import sys

import psutil

from include.embedded.stack import HOST
from include.errors import MediaError
from include.ffmpeg_ops import runner
from include.settings import Settings

__all__ = ["StartError", "check_machine", "check_port"]


class StartError(Exception):
    """The stack cannot start; the message says why and what to do."""


def check_machine(settings: Settings) -> str:
    """Check Python and ffmpeg and return ffmpeg's version; raise :class:`StartError`."""
    if sys.version_info < (3, 11):
        raise StartError(f"Python {sys.version.split()[0]} is too old: Reelflow needs 3.11 or newer.")
    try:
        tools = runner.tools(settings)
    except MediaError as error:
        raise StartError(f"{error.message} `make setup` installs one where the system has none.") from error
    return str(getattr(tools, "version", "") or "found")


def check_port(port: int, variable: str) -> None:
    """Raise :class:`StartError`, naming who holds it where that can be seen, unless ``port`` is free on the loopback."""
    with socket.socket() as probe:
        # As the servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            holder = _holder(port)
            raise StartError(
                f"Port {port} of {HOST} cannot be used ({error.strerror}{f', held by {holder}' if holder else ''}). "
                f"Free it, or choose another: {variable}={port + 1} make up"
            ) from error


def _holder(port: int) -> str | None:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f"process {connection.pid}, {psutil.Process(connection.pid).name()}"
    except psutil.Error:
        return None
    return None
