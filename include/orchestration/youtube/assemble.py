"""Puts a relay together, in the process of a task; brings boto3, so that DAG files must not import it."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from include.media_store.client import s3_client
from include.media_store.objects import S3ObjectStore
from include.media_store.ranges import RangeReader
from include.media_store.uploads_table import DynamoUploadsTable
from include.orchestration.youtube.connection import youtube_account
from include.settings import get_settings
from include.uploads.content import UploadContent
from include.uploads.models import Upload
from include.uploads.registry import Uploads
from include.uploads.relay import Relay
from include.uploads.youtube.ledger import Ledger
from include.uploads.youtube.resumable import youtube_client

__all__ = ["relay_of"]


@contextmanager
def relay_of(upload: Upload, cancelled: threading.Event) -> Iterator[Relay]:
    """Yield what relays ``upload``, as a process that nobody else is."""
    settings = get_settings()
    table, s3 = DynamoUploadsTable(settings), s3_client()
    account = youtube_account(settings, upload.channel or "")
    owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    with youtube_client(account, settings.youtube_url) as client:
        yield Relay(
            upload.reference,
            uploads=Uploads(table),
            ledger=Ledger(table, upload.reference, owner),
            content=UploadContent(S3ObjectStore(client=s3), RangeReader(s3), settings.bucket),
            client=client,
            account=account,
            cancelled=cancelled,
        )
