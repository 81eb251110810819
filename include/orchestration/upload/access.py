"""What the tasks of an upload's run begin with: its name, its state, and how they tell of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException

from include.errors import MediaError
from include.orchestration.params import read
from include.settings import get_settings
from include.uploads.models import Problem, Upload, UploadReference

if TYPE_CHECKING:
    from include.media_store.objects import ObjectStore
    from include.uploads.registry import Uploads

__all__ = ["TaskUpload", "failing", "open_store", "open_uploads"]


class TaskUpload:
    """The upload that a task's run is about."""

    def __init__(self, context: Context) -> None:
        self.reference: UploadReference = read(UploadReference, context)
        self.uploads = open_uploads()

    def read(self) -> Upload:
        """Return its state; raises :class:`AirflowFailException` where it has been aborted or has failed."""
        upload = self.uploads.read(self.reference.atom_id, self.reference.upload_id)
        if upload.outcome.state in {"aborted", "failed"}:
            problem = upload.outcome.problem
            raise AirflowFailException(problem.message if problem else "The upload was aborted.")
        return upload


@contextmanager
def failing(task: TaskUpload, context: Context) -> Iterator[None]:
    """Let an error that is raised inside and will not be tried again be the upload's."""
    ti = context["ti"]
    try:
        yield
    except MediaError as error:
        if not error.retryable or ti.try_number > ti.max_tries:
            task.uploads.fail(task.reference, Problem(code=error.code, message=error.message))
        raise


# One of each in a process: their clients are safe to be used by several threads, and take a while to make.
@lru_cache(maxsize=1)
def open_uploads() -> Uploads:
    """Return the uploads in the table of the settings."""
    from include.media_store.uploads_table import DynamoUploadsTable  # noqa: PLC0415  keeps boto3 out of DAG parsing
    from include.uploads.registry import Uploads  # noqa: PLC0415

    return Uploads(DynamoUploadsTable(get_settings()))


@lru_cache(maxsize=1)
def open_store() -> ObjectStore:
    """Return the object store of the settings."""
    from include.media_store.objects import S3ObjectStore  # noqa: PLC0415

    return S3ObjectStore(get_settings())
