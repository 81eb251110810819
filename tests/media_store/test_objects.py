from __future__ import annotations

import hashlib
import os
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from include.errors import InvalidInputData, NotFound, ObjectExists, StorageDenied, StorageError, error_from_document
from include.media_store.client import s3_client
from include.media_store.content_types import content_type_for
from include.media_store.errors import translated
from include.media_store.objects import S3ObjectStore

MIB = 2**20

AWKWARD_KEYS = [
    pytest.param("plain/clip.mp4", id="plain"),
    pytest.param("with space/my clip.mp4", id="space"),
    pytest.param("hash/#1.mp4", id="hash"),
    pytest.param("percent/100%25.mp4", id="percent"),
    pytest.param("plus/a+b.mp4", id="plus"),
    pytest.param("question/what?x=1&y=2.mp4", id="question"),
    pytest.param("中文/视频 第一集.mp4", id="chinese"),
    pytest.param("emoji/🎬.mp4", id="emoji"),
    pytest.param("dash/-rf.mp4", id="leading-dash"),
    pytest.param("dots/clip...", id="trailing-dots"),
    pytest.param('quote/it\'s "x" <&>.mp4', id="quotes"),
    pytest.param("é/e\u0301.mp4", id="combining"),
]


@pytest.mark.parametrize("key", AWKWARD_KEYS)
def test_anyone_may_read_an_object_at_its_address_for_a_while(store: S3ObjectStore, bucket: str, key: str) -> None:
    ref = store.put_bytes(bucket, key, b"some video")
    with urllib.request.urlopen(store.address(ref, 60), timeout=30) as answer:
        assert answer.read() == b"some video"


@pytest.mark.parametrize("key", AWKWARD_KEYS)
def test_every_key_makes_the_round_trip(store: S3ObjectStore, bucket: str, tmp_path: Path, key: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"some video")
    written = store.upload(source, bucket, key)
    assert store.head(bucket, key) == written
    assert list(store.list(bucket, key)) == [written]
    store.download(written, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"some video"
    assert store.delete_prefix(bucket, key.rpartition("/")[0] + "/") == 1
    assert store.head(bucket, key) is None


@pytest.mark.parametrize("size", [0, 1, 33 * MIB + 7], ids=["empty", "one-byte", "multipart"])
def test_a_file_of_any_size_comes_back_as_it_was(store: S3ObjectStore, bucket: str, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "source.ts").write_bytes(data)
    ref = store.upload(tmp_path / "source.ts", bucket, f"sizes/{size}.ts")
    assert ref == store.head(bucket, f"sizes/{size}.ts")
    assert ref.size == size
    store.download(ref, tmp_path / "deep" / "er" / "back.ts")
    back = (tmp_path / "deep" / "er" / "back.ts").read_bytes()
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
    assert store.bytes_read == store.bytes_written == size


@pytest.mark.parametrize("size", [10, 33 * MIB], ids=["small", "multipart"])
def test_a_replaced_object_is_noticed_and_leaves_no_file(store: S3ObjectStore, bucket: str, tmp_path: Path, size: int) -> None:
    (tmp_path / "source").write_bytes(b"a" * size)
    old = store.upload(tmp_path / "source", bucket, "replaced/x")
    (tmp_path / "source").write_bytes(b"b" * size)
    store.upload(tmp_path / "source", bucket, "replaced/x")
    with pytest.raises(InvalidInputData, match="was replaced while it was in use"):
        store.download(old, tmp_path / "into" / "back")
    assert list((tmp_path / "into").iterdir()) == []


def test_a_download_of_another_size_than_promised_fails(store: S3ObjectStore, bucket: str, tmp_path: Path) -> None:
    ref = store.put_bytes(bucket, "size/x", b"four")
    with pytest.raises(StorageError, match="has 5 bytes, but 4 were received"):
        store.download(ref.model_copy(update={"size": 5}), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_conditional_write_does_not_replace(store: S3ObjectStore, bucket: str) -> None:
    store.put_bytes(bucket, "claim/x", b"first", if_none_match=True)
    with pytest.raises(ObjectExists, match="claim/x: it exists already"):
        store.put_bytes(bucket, "claim/x", b"second", if_none_match=True)
    assert store.get_bytes(bucket, "claim/x") == b"first"


def test_listing_and_deleting_go_beyond_one_page(store: S3ObjectStore, bucket: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    keys = [f"many/{n:05d}.jpg" for n in range(1203)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put_bytes(bucket, key, b"x"), keys))
    store.put_bytes(bucket, "many-not/x", b"x")
    assert [ref.key for ref in store.list(bucket, "many/")] == keys
    assert store.delete_prefix(bucket, "many/") == 1203
    assert list(store.list(bucket, "many/")) == []
    assert store.head(bucket, "many-not/x")


@pytest.mark.parametrize("prefix", ["", "/", "no-slash"])
def test_a_whole_bucket_is_never_deleted(store: S3ObjectStore, bucket: str, prefix: str) -> None:
    with pytest.raises(ValueError, match="name a folder"):
        store.delete_prefix(bucket, prefix)


def test_absent_things_are_not_found(store: S3ObjectStore, bucket: str, tmp_path: Path) -> None:
    assert store.bucket_exists(bucket)
    assert not store.bucket_exists("no-such-bucket-7d1")
    assert store.head(bucket, "absent") is None
    with pytest.raises(NotFound, match=f"s3://{bucket}/absent%20x: it does not exist"):
        store.get_bytes(bucket, "absent x")
    with pytest.raises(NotFound, match="bucket does not exist"):
        list(store.list("no-such-bucket-7d1", "x"))
    gone = store.put_bytes(bucket, "gone", b"x")
    store.delete(bucket, "gone")
    store.delete(bucket, "gone")
    with pytest.raises(NotFound):
        store.download(gone, tmp_path / "x")


def test_content_types_follow_the_name(store: S3ObjectStore, bucket: str) -> None:
    store.put_bytes(bucket, "types/a.m3u8", b"#EXTM3U")
    assert s3_client().head_object(Bucket=bucket, Key="types/a.m3u8")["ContentType"] == "application/vnd.apple.mpegurl"
    assert content_type_for("x/A.TS") == "video/mp2t"
    assert content_type_for("x/noext") == "application/octet-stream"


def test_without_credentials_the_message_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageDenied, match="no complete AWS credentials"):
        S3ObjectStore().head("some-bucket", "x")


@pytest.mark.parametrize("code", ["403", "AccessDenied", "InvalidAccessKeyId"])
def test_what_our_credentials_may_not_is_no_fault_of_the_caller(code: str) -> None:
    with pytest.raises(StorageDenied, match="refuses our credentials") as refused, translated("read", "s3://media/a"):
        raise ClientError({"Error": {"Code": code}}, "GetObject")
    assert (refused.value.http_status, refused.value.retryable) == (503, False)
    assert type(error_from_document(refused.value.to_document())) is StorageDenied


def test_a_server_that_is_away_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.session.Session().client("s3", config=Config(retries={"total_max_attempts": 1}))
    with pytest.raises(StorageError, match="did not answer"):
        S3ObjectStore(client=client).head("some-bucket", "x")


def test_a_loopback_endpoint_is_reached_without_a_proxy_and_by_path(
    monkeypatch: pytest.MonkeyPatch, store: S3ObjectStore, bucket: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert S3ObjectStore().bucket_exists(bucket)
    url = s3_client().generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert f"/{bucket}/k?" in url


class SilentClient:
    """Like Ceph, which answers the end of a multipart upload with an empty ETag."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def complete_multipart_upload(self, **arguments: Any) -> Any:
        return self._client.complete_multipart_upload(**arguments) | {"ETag": ""}


def test_a_server_that_does_not_tell_the_etag_is_asked_for_it(store: S3ObjectStore, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 33 * MIB)
    client: Any = SilentClient(s3_client())
    ref = S3ObjectStore(client=client).upload(tmp_path / "source", bucket, "silent/x")
    assert ref == store.head(bucket, "silent/x")
    assert ref.etag
