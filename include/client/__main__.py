"""``python -m include.client``: tasks of the Task/Transcoding API from the command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from include.client.api import ApiError, Client
from include.client.signing import Key
from include.errors import TimedOut

__all__ = ["main"]

DONE, NOT_DONE, WRONG = 0, 1, 2

Documents = Iterable[dict[str, Any]]
_ANSWERS: Mapping[str, Callable[[Client, argparse.Namespace], Documents]] = {
    "query": lambda client, options: [client.query(options.task_id)],
    "delete": lambda client, options: [client.delete(options.task_id)],
    "list": lambda client, options: client.tasks(status=options.status),
    "profiles": lambda client, options: client.profiles(),
    "profile": lambda client, options: [client.profile(options.name)],
    "create-profile": lambda client, options: [client.create_profile(json.loads(options.file.read_text()))],
    "delete-profile": lambda client, options: [client.delete_profile(options.name)],
}

_HELP = """
REELFLOW_URL is the server (default http://127.0.0.1:8080), REELFLOW_KEY the key, clientCode:publicKey:privateKey, as `make up`
prints it. Answers are printed as JSON, one document a line. Exit codes: 0 done; 1 refused, failed, or not over in time; 2 wrong
arguments.
"""


def main(arguments: Sequence[str] | None = None, *, transport: httpx.BaseTransport | None = None) -> int:
    """Parse the command line, do what it says, return the exit code; ``transport`` is used instead of the network."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        key = Key.parse(os.environ.get("REELFLOW_KEY", ""))
    except ValueError as error:
        print(f"REELFLOW_KEY: {error}", file=sys.stderr)
        return WRONG
    url = os.environ.get("REELFLOW_URL") or "http://127.0.0.1:8080"
    try:
        with Client(url, key, transport=transport) as client:
            return _do(client, options)
    except (ApiError, TimedOut) as error:
        print(error, file=sys.stderr)
    except httpx.HTTPError as error:
        print(f"{url} does not answer: {type(error).__name__}", file=sys.stderr)
    return NOT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m include.client", description=__doc__, epilog=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    create = commands.add_parser("create", help="create a task and print it; with --wait, wait for it")
    create.add_argument("source", metavar="SOURCE_URL")
    create.add_argument("targets", metavar="TARGET_URL", nargs="+")
    create.add_argument("--profile", metavar="NAME", help="default: the server's")
    create.add_argument("--callback", metavar="URL", help="is told how it goes")
    create.add_argument("--wait", action="store_true", help="until it is over")
    wait = commands.add_parser("wait", help="wait until a task is over and print it")
    for command in (create, wait):
        command.add_argument("--timeout", type=float, metavar="SECONDS")
    for command in (wait, commands.add_parser("query", help="print a task"), commands.add_parser("delete", help="stop a task")):
        command.add_argument("task_id", metavar="TASK_ID")
    listing = commands.add_parser("list", help="print the client's tasks, newest first")
    listing.add_argument("--status", metavar="STATUS", help="PENDING, RUNNING, SUCCESS, FAILED or CANCELLED")
    commands.add_parser("profiles", help="print all profiles")
    for name, help_text in (("profile", "print a profile"), ("delete-profile", "delete a profile of one's own")):
        commands.add_parser(name, help=help_text).add_argument("name", metavar="NAME")
    commands.add_parser("create-profile", help="make a profile").add_argument("file", metavar="FILE", type=Path, help="JSON")
    return parser


def _do(client: Client, options: argparse.Namespace) -> int:
    if options.command in {"create", "wait"}:
        return _follow(client, options)
    _print(_ANSWERS[options.command](client, options))
    return DONE


def _follow(client: Client, options: argparse.Namespace) -> int:
    if options.command == "create":
        task_id = client.create(options.source, options.targets, profile_name=options.profile, callback_url=options.callback)
        if not options.wait:
            _print([client.query(task_id)])
            return DONE
    else:
        task_id = options.task_id
    task = client.wait(task_id, timeout=options.timeout, on_status=_tell)
    _print([task])
    return DONE if task["task_status"] == "SUCCESS" else NOT_DONE


def _tell(status: dict[str, Any]) -> None:
    print(f"{status['task_id']} {status['task_status']} {status['progress']}", file=sys.stderr)


def _print(documents: Documents) -> None:
    for document in documents:
        print(json.dumps(document, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
