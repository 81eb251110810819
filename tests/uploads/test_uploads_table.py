"""The table of uploads: many writers at once, and no update is lost."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from include.errors import NotFound, ObjectExists, StorageError
from include.media_store.uploads_table import DynamoUploadsTable, make_uploads_table
from include.settings import Settings
from include.uploads.models import Joined, Landed, Problem, Upload, UploadPlan
from include.uploads.parts import landed_one
from include.uploads.registry import Uploads, new_upload_id
from tests.servers import moto

MIB = 2**20


@pytest.fixture(scope="module")
def table() -> Iterator[DynamoUploadsTable]:
    """The table on a server of its own: an S3 server that is named has no tables."""
    with moto() as url:
        client = boto3.client(
            "dynamodb", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        settings = Settings(_env_file=None)  # type: ignore[call-arg]
        make_uploads_table(settings, client)
        make_uploads_table(settings, client)
        yield DynamoUploadsTable(settings, client=client)


@pytest.fixture
def uploads(table: DynamoUploadsTable) -> Uploads:
    return Uploads(table)


def create(uploads: Uploads, parts: int = 3, atom_id: str | None = None) -> Upload:
    plan = UploadPlan(
        client="ours", filename="clip.mp4", size=parts * MIB, part_size=MIB, destinations=("youtube", "s3Bucket"),
        bucket="media", region="us-east-1", created_at=1000.0, title="clip",
    )  # fmt: skip
    return uploads.create(atom_id or uuid.uuid4().hex, new_upload_id(), plan)


def test_an_upload_is_read_as_it_was_created(uploads: Uploads) -> None:
    one = create(uploads)
    assert uploads.read(one.atom_id, one.id) == one
    assert {at.status for at in one.at.values()} == {"waiting"}
    with pytest.raises(NotFound):
        uploads.read(one.atom_id, "nothing")


def test_an_id_is_taken_once(uploads: Uploads, table: DynamoUploadsTable) -> None:
    one = create(uploads)
    with pytest.raises(ObjectExists):
        table.create(one.atom_id, one.id, {}, 1)


def test_an_upload_is_created_though_the_answer_is_lost(
    uploads: Uploads, table: DynamoUploadsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK then asks again."""
    put = table._client.put_item
    with monkeypatch.context() as forgetful:
        forgetful.setattr(table._client, "put_item", lambda **arguments: (put(**arguments), put(**arguments)))
        one = create(uploads)
    assert uploads.read(one.atom_id, one.id) == one


def test_what_does_not_exist_is_not_made_by_a_change(uploads: Uploads, table: DynamoUploadsTable) -> None:
    with pytest.raises(NotFound):
        uploads.set_destination("none", "none", "s3Bucket", status="transcoding")
    assert not table.replace("none", "none", "x", old=None, new="1")
    assert table.get("none", "none") is None


def test_the_uploads_of_an_atom_are_listed_newest_first(uploads: Uploads) -> None:
    ids = [create(uploads, atom_id="listed").id for _ in range(5)]
    create(uploads, atom_id="another")
    found = [one.id for one in uploads.list("listed")]
    assert sorted(found) == sorted(ids)
    assert found == sorted(found, reverse=True)


def test_two_hundred_changes_from_eight_threads_all_take_effect(table: DynamoUploadsTable) -> None:
    uploads = Uploads(table)
    one = create(uploads, parts=60)

    def land(n: int) -> None:
        uploads.set_landed(one, lambda now: landed_one(now, n, MIB, now=float(n)))

    def relay(step: int) -> None:
        uploads.set_destination(one.atom_id, one.id, "youtube", status="upload", progress=step)

    def transcode(step: int) -> None:
        uploads.set_destination(one.atom_id, one.id, "s3Bucket", status="transcoding", progress=step)

    with ThreadPoolExecutor(8) as pool:
        # The parts at most four at once: of one field's writers each round lets one through.
        futures = [pool.submit(work, n) for n in range(60) for work in (land, relay, transcode)]
        for future in futures:
            future.result()
    after = uploads.read(one.atom_id, one.id)
    assert all(part.complete for part in after.parts)
    assert (after.at["youtube"].progress, after.at["s3Bucket"].progress) == (59.0, 59.0)


def test_a_change_from_what_somebody_else_has_changed_since_is_refused(table: DynamoUploadsTable) -> None:
    one = create(Uploads(table))
    assert table.replace(one.atom_id, one.id, "landed", old=None, new="a")
    assert not table.replace(one.atom_id, one.id, "landed", old=None, new="b")
    assert not table.replace(one.atom_id, one.id, "landed", old="b", new="c")
    assert table.replace(one.atom_id, one.id, "landed", old="a", new="c")


def test_the_first_reason_of_a_failure_stays_and_a_new_start_forgets_it(uploads: Uploads) -> None:
    one = create(uploads)
    uploads.fail(one.reference, Problem(code="TimeOut", message="first"))
    uploads.fail(one.reference, Problem(code="TimeOut", message="second"))
    failed = uploads.read(one.atom_id, one.id)
    assert failed.is_over
    assert failed.outcome.problem == Problem(code="TimeOut", message="first")
    uploads.reopen(one.reference)
    assert not uploads.read(one.atom_id, one.id).is_over
    assert uploads.complete(one.reference).state == "complete"
    assert uploads.abort(one.reference).state == "complete"


def test_a_new_start_forgets_the_failures_of_destinations_alone(uploads: Uploads) -> None:
    one = create(uploads)
    uploads.set_destination(one.atom_id, one.id, "youtube", status="failed", error="No quota.")
    uploads.set_destination(one.atom_id, one.id, "s3Bucket", status="complete", details="s3://media/x.m3u8")
    before = uploads.read(one.atom_id, one.id).at
    uploads.reopen(one.reference)
    after = uploads.read(one.atom_id, one.id).at
    assert (before["youtube"].status, after["youtube"].status, after["youtube"].error) == ("failed", "waiting", None)
    assert after["s3Bucket"] == before["s3Bucket"]


def test_what_was_aborted_stays_so(uploads: Uploads) -> None:
    one = create(uploads)
    uploads.abort(one.reference)
    assert uploads.complete(one.reference).state == "aborted"
    uploads.fail(one.reference, Problem(code="x", message="y"))
    uploads.reopen(one.reference)
    assert uploads.read(one.atom_id, one.id).outcome.state == "aborted"


def test_attributes_of_other_writers_are_left_alone(uploads: Uploads, table: DynamoUploadsTable) -> None:
    one = create(uploads)
    table.replace(one.atom_id, one.id, "other", old=None, new="theirs")
    uploads.set_joined(one, lambda _: Joined(multipart_id="m"))
    found = table.get(one.atom_id, one.id)
    assert found is not None
    assert found["other"] == "theirs"
    assert uploads.read(one.atom_id, one.id).joined == Joined(multipart_id="m")


def test_an_item_that_cannot_be_read_is_a_storage_error(uploads: Uploads, table: DynamoUploadsTable) -> None:
    one = create(uploads)
    table.replace(one.atom_id, one.id, "landed", old=None, new="{")
    with pytest.raises(StorageError):
        uploads.read(one.atom_id, one.id)
    other = create(uploads, atom_id=one.atom_id)
    assert [found.id for found in uploads.list(one.atom_id)] == [other.id]


def test_ten_thousand_parts_fit_an_item(uploads: Uploads) -> None:
    one = create(uploads, parts=10_000)
    everything = Landed(complete=frozenset(range(10_000)), errors=dict.fromkeys(range(100), "x" * 60), changed_at=1)
    assert uploads.set_landed(one, lambda _: everything).landed == everything
    assert uploads.read(one.atom_id, one.id).landed == everything
