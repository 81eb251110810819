"""``python -m include.uploads send FILE --atom A``: sends a file, and goes on where it stopped when it is called again."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

from include.errors import MediaError
from include.uploads.api_client import UploadApi
from include.uploads.send import Sender, follow

KEY_VARIABLE = "REELFLOW_API_KEY"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status: 0 all has arrived, 1 it has not, 130 stopped by Ctrl-C."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log the parts' URLs
    key = options.key or os.environ.get(KEY_VARIABLE)
    if not key:
        print(f"No API key: set {KEY_VARIABLE}.", file=sys.stderr)
        return 1
    api = UploadApi(options.url, key)
    try:
        sender = Sender(
            api, options.file, options.atom, _body(options), mode=options.mode, parallel=options.parallel, digest=options.digest
        )  # fmt: skip
        upload = sender.send()
        print(f"{upload['id']}: all {len(upload['parts'])} parts have arrived.")
        if options.wait:
            upload = follow(api, options.atom, upload["id"], print)
            return int(any(at["status"] == "failed" for at in upload["destinations"]))
    except KeyboardInterrupt:
        print("Stopped; the same command goes on where it stopped.", file=sys.stderr)
        return 130
    except MediaError as error:
        print(error.message, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{options.file}: {error.strerror}", file=sys.stderr)
        return 1
    finally:
        api.close()
    return 0


def _body(options: argparse.Namespace) -> dict[str, Any]:
    body = {name: getattr(options, name) for name in ("title", "description", "privacy", "channel") if getattr(options, name)}
    return body | {"destinations": options.destination or ["s3Bucket"]} | ({"tags": options.tag} if options.tag else {})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.uploads")
    send = parser.add_subparsers(dest="command", required=True).add_parser(
        "send", help="send a file", description="Send a file to S3 in parts; called again, it sends what is missing."
    )
    send.add_argument("file", type=Path)
    send.add_argument("--atom", required=True, help="what the upload belongs to")
    send.add_argument("--url", default="http://127.0.0.1:8080", help="address of the API (default: %(default)s)")
    send.add_argument("--key", help=f"API key; better in {KEY_VARIABLE}, where other users of the machine do not see it")
    send.add_argument("--destination", action="append", choices=["s3Bucket", "youtube"], help="may be given twice")
    send.add_argument("--title", help="title on YouTube (default: the file's name)")
    send.add_argument("--description", help="description on YouTube")
    send.add_argument("--tag", action="append", help="tag on YouTube; may be given several times")
    send.add_argument("--privacy", choices=["private", "unlisted", "public"], help="who sees it on YouTube")
    send.add_argument("--channel", help="YouTube channel")
    send.add_argument("--mode", choices=["urls", "sts"], default="urls", help="a URL for each part, or temporary credentials")
    send.add_argument(
        "--parallel", type=int, choices=range(1, 65), metavar="N", default=4, help="parts at once, 1 to 64 (default: %(default)s)"
    )
    send.add_argument("--no-sha256", dest="digest", action="store_false", help="do not have the file's SHA-256 checked")
    send.add_argument("--wait", action="store_true", help="wait until the file is at its destinations")
    send.add_argument("--verbose", action="store_true", help="tell what is tried again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
