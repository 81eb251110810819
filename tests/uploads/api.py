"""The uploads' API in a process of tests: real presigned URLs, a table in memory, parts noticed when they are asked for."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from include.media_store.credentials import UploadAccess
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from include.uploads.join import part_objects
from include.uploads.models import Upload
from include.uploads.parts import landed
from include.uploads.registry import Uploads
from tests.uploads.memory import MemoryTable, an_upload

KEY = "test-key"


def upload_access() -> UploadAccess:
    """Return what issues credentials, of the server that tests talk to: moto, or the one that ``REELFLOW_TEST_S3`` names."""
    account = "" if os.environ.get("REELFLOW_TEST_S3") else "123456789012"
    return UploadAccess(Settings(_env_file=None, upload_role_arn=f"arn:aws:iam::{account}:role/uploader"))  # type: ignore[call-arg]


class FakeApi(ThreadingHTTPServer):
    """Answers as contract 4 says, or as it is told to; ``skew`` is by how much its clock is wrong."""

    daemon_threads = True

    def __init__(self, store: S3ObjectStore, s3: Any, bucket: str, part_size: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store, self.s3, self.bucket, self.part_size = store, s3, bucket, part_size
        self.uploads = Uploads(MemoryTable())
        self.calls: list[str] = []
        self.expired = 0
        self.failures = 0
        self.skew = 0.0
        self.credential_seconds = 900
        self.endpoint = s3.meta.endpoint_url
        self.refuse = ""
        # URLs of parts from this one on are given once the gate is open.
        self.hold_from = 10_000
        self.gate = threading.Event()
        # So many times an upload is told as it was, whatever has landed since.
        self.stale_answers = 0
        self.files: dict[str, Path] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return status and document."""
        atom_id, _, *rest = path.removeprefix("/api2/atom/").split("/")
        self.calls.append(f"{method} {'/'.join(rest)}")
        if self.failures > 0:
            self.failures -= 1
            return 503, {}
        if not rest and self.refuse:
            return 400, {"message": self.refuse}
        if not rest:
            upload = an_upload(
                self.uploads, atom_id, filename=body["filename"], size=body["size"], part_size=self.part_size, bucket=self.bucket,
                sha256=body.get("sha256"), destinations=body.get("destinations", ["s3Bucket"]),
            )  # fmt: skip
            return 200, self.document(upload) | {"credentials": self.credentials(upload)}
        upload = self.uploads.read(atom_id, rest[0])
        if upload.outcome.state == "aborted":
            return 404, {"message": "There is no such upload."}
        if method == "DELETE":
            self.uploads.abort(upload.reference)
            return 204, {}
        if rest[1:] == ["credentials"]:
            return 200, {"credentials": self.credentials(upload)}
        if rest[1:2] == ["parts"]:
            if int(rest[2]) >= self.hold_from:
                self.gate.wait(60)
            return 200, {"url": self.part_url(upload, int(rest[2]))}
        if self.stale_answers > 0:
            self.stale_answers -= 1
            return 200, self.document(upload)
        return 200, self.document(self.noticed(upload))

    def noticed(self, upload: Upload) -> Upload:
        """Note which parts have landed, as the workflow does."""
        sizes = {n: ref.size for n, ref in part_objects(self.store, upload).items()}
        return self.uploads.set_landed(upload, lambda now: landed(now, sizes, time.time()))

    def part_url(self, upload: Upload, n: int) -> str:
        url: str = self.s3.generate_presigned_url(
            "put_object", Params={"Bucket": self.bucket, "Key": upload.part(n).key}, ExpiresIn=900
        )
        if self.expired > 0:
            self.expired -= 1
            return f"{self.url}/expired"
        return url

    def credentials(self, upload: Upload) -> dict[str, Any]:
        issued = upload_access().credentials(self.bucket, f"{upload.reference.parts_prefix}*", name="fake-api")
        return {
            "temporaryAccessId": issued.access_key, "temporarySecretKey": issued.secret_key, "sessionToken": issued.session_token,
            "expiry": int(time.time() + self.skew + self.credential_seconds),
        }  # fmt: skip

    def document(self, upload: Upload) -> dict[str, Any]:
        return {
            "id": upload.id, "bucket": upload.bucket, "region": "us-east-1", "endpoint": self.endpoint,
            "destinations": [at.model_dump() for at in upload.at.values()],
            "parts": [part.model_dump(exclude={"n"}, exclude_none=True) for part in upload.parts],
        }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    server: FakeApi

    def do_GET(self) -> None:
        if file := self.server.files.get(self.path.partition("?")[0]):
            self._send(200, file.read_bytes(), "text/javascript" if file.suffix == ".js" else "text/html")
            return
        self._answer(*self._handled())

    do_POST = do_DELETE = do_GET

    def do_PUT(self) -> None:
        # An address whose signature has expired.
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(403, {})

    def _handled(self) -> tuple[int, dict[str, Any]]:
        if self.headers.get("x-api-key") != KEY:
            return 403, {"message": "The key is missing or wrong."}
        size = int(self.headers.get("Content-Length") or 0)
        return self.server.handle(self.command, self.path, json.loads(self.rfile.read(size) or b"{}"))

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, json.dumps(document).encode(), "application/json")

    def _send(self, status: int, data: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        # A page that was reloaded does not wait for it.
        with suppress(OSError):
            self.wfile.write(data)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.server.skew)

    def log_message(self, *_: Any) -> None:
        return
