"""What credentials of an upload may do, and all that they may not.

moto knows no session policies; a server that enforces them is named by ``REELFLOW_TEST_S3`` (make test-s3).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from include.media_store.credentials import Credentials, UploadAccess
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from tests.uploads.api import upload_access

MINE = "uploads/atom/mine/parts/"
KEY = f"{MINE}0"


@pytest.fixture(scope="module")
def access(s3: object) -> UploadAccess:
    return upload_access()


def client_of(access: UploadAccess, credentials: Credentials) -> Any:
    return boto3.client(
        "s3", endpoint_url=access.endpoint, region_name=access.region, aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key, aws_session_token=credentials.session_token,
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )  # fmt: skip


def put(client: Any, bucket: str, key: str, data: bytes = b"part") -> None:
    client.put_object(Bucket=bucket, Key=key, Body=data)


def test_credentials_last_a_quarter_of_an_hour_and_write_parts(access: UploadAccess, store: S3ObjectStore, bucket: str) -> None:
    issued = access.credentials(bucket, f"{MINE}*", name="upload-mine")
    assert 890 <= issued.expiry - time.time() <= 910
    client = client_of(access, issued)
    for n in (0, 1, 9999):
        put(client, bucket, f"{MINE}{n}", b"part %d" % n)
        assert store.get_bytes(bucket, f"{MINE}{n}") == b"part %d" % n
    put(client, bucket, KEY, b"again")
    assert store.get_bytes(bucket, KEY) == b"again"


def test_credentials_write_a_large_part_in_pieces(access: UploadAccess, store: S3ObjectStore, bucket: str) -> None:
    client = client_of(access, access.credentials(bucket, f"{MINE}*", name="upload-mine"))
    multipart = client.create_multipart_upload(Bucket=bucket, Key=f"{MINE}7")["UploadId"]
    etags = []
    for number in (1, 2):
        answer = client.upload_part(Bucket=bucket, Key=f"{MINE}7", UploadId=multipart, PartNumber=number, Body=bytes(5 * 2**20))
        etags.append({"PartNumber": number, "ETag": answer["ETag"]})
    client.complete_multipart_upload(Bucket=bucket, Key=f"{MINE}7", UploadId=multipart, MultipartUpload={"Parts": etags})
    found = store.head(bucket, f"{MINE}7")
    assert found is not None
    assert found.size == 10 * 2**20


FORBIDDEN: dict[str, Callable[[Any, str], object]] = {
    "write another upload's part": lambda client, bucket: put(client, bucket, "uploads/atom/other/parts/0"),
    "write another atom's part": lambda client, bucket: put(client, bucket, "uploads/other/mine/parts/0"),
    "write a key that begins alike": lambda client, bucket: put(client, bucket, "uploads/atom/mine/parts2/0"),
    "write the joined file": lambda client, bucket: put(client, bucket, "uploads/atom/mine/full"),
    "write at the root": lambda client, bucket: put(client, bucket, "evil"),
    "write above by dots": lambda client, bucket: put(client, bucket, "uploads/atom/mine/full/../../../../evil"),
    "read a part": lambda client, bucket: client.get_object(Bucket=bucket, Key=KEY),
    "read another object": lambda client, bucket: client.get_object(Bucket=bucket, Key="secret"),
    "look at a part": lambda client, bucket: client.head_object(Bucket=bucket, Key=KEY),
    "delete a part": lambda client, bucket: client.delete_object(Bucket=bucket, Key=KEY),
    "delete another object": lambda client, bucket: client.delete_object(Bucket=bucket, Key="secret"),
    "delete several": lambda client, bucket: _refuse_empty(
        client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "secret"}]}).get("Deleted", [])
    ),
    "list the bucket": lambda client, bucket: client.list_objects_v2(Bucket=bucket),
    "list its own parts": lambda client, bucket: client.list_objects_v2(Bucket=bucket, Prefix=MINE),
    "list multipart uploads": lambda client, bucket: client.list_multipart_uploads(Bucket=bucket),
    "copy a secret into a part": lambda client, bucket: client.copy_object(
        Bucket=bucket, Key=f"{MINE}5", CopySource={"Bucket": bucket, "Key": "secret"}
    ),
    "make a part public": lambda client, bucket: client.put_object_acl(Bucket=bucket, Key=KEY, ACL="public-read"),
    "tag a part": lambda client, bucket: client.put_object_tagging(
        Bucket=bucket, Key=KEY, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}
    ),
    "read the bucket's policy": lambda client, bucket: client.get_bucket_policy(Bucket=bucket),
    "change the bucket's policy": lambda client, bucket: client.put_bucket_policy(Bucket=bucket, Policy="{}"),
    "list buckets": lambda client, bucket: _refuse_empty(client.list_buckets()["Buckets"]),
    "make a bucket": lambda client, bucket: client.create_bucket(Bucket=f"{bucket}-2"),
}


def _refuse_empty(found: list[Any]) -> None:
    # Some servers answer with nothing instead of a refusal.
    if not found:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "nothing")


@pytest.mark.skipif(not os.environ.get("REELFLOW_TEST_S3"), reason="moto knows no session policies (make test-s3)")
@pytest.mark.parametrize("what", FORBIDDEN)
def test_credentials_are_refused_all_else(access: UploadAccess, store: S3ObjectStore, bucket: str, what: str) -> None:
    store.put_bytes(bucket, "secret", b"secret")
    store.put_bytes(bucket, KEY, b"part")
    client = client_of(access, access.credentials(bucket, f"{MINE}*", name="upload-mine"))
    with pytest.raises(ClientError) as refused:
        FORBIDDEN[what](client, bucket)
    assert refused.value.response["Error"]["Code"] in {"AccessDenied", "403", "Forbidden"}
    assert store.get_bytes(bucket, "secret") == b"secret"
    assert store.get_bytes(bucket, KEY) == b"part"
    assert store.head(bucket, "evil") is None


@pytest.mark.skipif(not os.environ.get("REELFLOW_TEST_S3"), reason="moto knows no session policies (make test-s3)")
def test_credentials_for_one_part_write_that_part_only(access: UploadAccess, bucket: str) -> None:
    client = client_of(access, access.credentials(bucket, f"{MINE}3", name="upload-mine"))
    put(client, bucket, f"{MINE}3")
    for key in (f"{MINE}4", f"{MINE}33", f"{MINE}3/x"):
        with pytest.raises(ClientError) as refused:
            put(client, bucket, key)
        assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_a_part_url_takes_one_put_of_that_part(access: UploadAccess, store: S3ObjectStore, bucket: str) -> None:
    url = access.part_url(bucket, KEY)
    assert httpx.put(url, content=b"by url", trust_env=False).status_code == 200
    assert store.get_bytes(bucket, KEY) == b"by url"


def test_on_aws_a_part_url_names_the_host_of_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    access = UploadAccess(Settings(_env_file=None))  # type: ignore[call-arg]
    assert urlsplit(access.part_url("b-1", KEY)).hostname == "b-1.s3.eu-west-1.amazonaws.com"
    # A certificate has one label for the bucket.
    assert urlsplit(access.part_url("b.1", KEY)).hostname == "s3.eu-west-1.amazonaws.com"
    assert access.endpoint is None


@pytest.mark.skipif(not os.environ.get("REELFLOW_TEST_S3"), reason="moto checks no signatures (make test-s3)")
def test_a_part_url_is_good_for_nothing_else(access: UploadAccess, store: S3ObjectStore, bucket: str) -> None:
    store.put_bytes(bucket, KEY, b"part")
    url = access.part_url(bucket, KEY)
    assert httpx.get(url, trust_env=False).status_code == 403
    assert httpx.delete(url, trust_env=False).status_code == 403
    assert httpx.put(url.replace("/parts/0", "/parts/1"), content=b"x", trust_env=False).status_code == 403
    assert httpx.put(url.replace("X-Amz-Expires=900", "X-Amz-Expires=9000"), content=b"x", trust_env=False).status_code == 403


@pytest.mark.long
@pytest.mark.timeout(1100)
@pytest.mark.skipif(not os.environ.get("REELFLOW_TEST_S3"), reason="moto's credentials do not expire (make test-s3)")
def test_credentials_and_urls_are_refused_once_they_have_expired(access: UploadAccess, bucket: str) -> None:
    issued = access.credentials(bucket, f"{MINE}*", name="upload-mine")
    client, url = client_of(access, issued), access.part_url(bucket, KEY)
    put(client, bucket, KEY)
    time.sleep(max(0, issued.expiry + 5 - time.time()))
    with pytest.raises(ClientError) as refused:
        put(client, bucket, KEY)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in {400, 403}
    assert httpx.put(url, content=b"late", trust_env=False).status_code == 403
