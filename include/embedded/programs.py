"""The programs of a stack as supervisord sees them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from include.embedded.stack import ROOT, Stack

__all__ = ["PROGRAMS", "Program", "configuration", "start_supervisor", "states"]


@dataclass(frozen=True)
class Program:
    """A supervised program: arguments of this Python, and how long it may take to stop by itself."""

    name: str
    arguments: str
    stop_seconds: int = 5


PROGRAMS = (
    Program("moto", "-m include.embedded.moto"),
    Program("api-server", "-m airflow api-server"),
    Program("dag-processor", "-m airflow dag-processor"),
    Program("scheduler", "-m include.embedded.scheduler", stop_seconds=3),
    Program("triggerer", "-m airflow triggerer --skip-serve-logs"),
)


def configuration(stack: Stack) -> str:
    """Return ``supervisord.conf``. It holds no secret: the programs inherit supervisord's environment."""
    sections = [
        f"""[supervisord]
pidfile = {stack.state_dir}/supervisord.pid
logfile = {stack.logs}/supervisord.log
logfile_maxbytes = 5MB
logfile_backups = 1
childlogdir = {stack.logs}
silent = true

[unix_http_server]
file = {stack.socket}
chmod = 0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://{stack.socket}
"""
    ]
    sections += [
        f"""[program:{program.name}]
command = "{sys.executable}" {program.arguments}
directory = {ROOT}
environment = REELFLOW_PROGRAM="{program.name}"
autorestart = true
startsecs = 3
startretries = 5
stopwaitsecs = {program.stop_seconds}
killasgroup = true
redirect_stderr = true
stdout_logfile = {stack.logs}/{program.name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 1
"""
        for program in PROGRAMS
    ]
    # Programs of a group are stopped together, others one after the other.
    sections.append(f"[group:reelflow]\nprograms = {','.join(program.name for program in PROGRAMS)}\n")
    # supervisord expands %(name)s in values; paths may hold a per cent sign.
    return "\n".join(sections).replace("%", "%%")


def start_supervisor(stack: Stack, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start supervisord in a session of its own and return at once."""
    path = stack.state_dir / "supervisord.conf"
    path.write_text(configuration(stack))
    with (stack.logs / "supervisord.out").open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(path)],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def states(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return supervisord's record of each program by name (``statename``, ``pid``, ``description`` …); empty: no answer."""
    from supervisor.xmlrpc import SupervisorTransport  # noqa: PLC0415  only the status needs it

    transport = SupervisorTransport(None, None, f"unix://{stack.socket}")
    try:
        infos = ServerProxy("http://127.0.0.1", transport=transport).supervisor.getAllProcessInfo()
    except (OSError, Fault, ValueError):
        return {}
    return {str(info["name"]): info for info in infos if isinstance(info, dict)} if isinstance(infos, list) else {}
