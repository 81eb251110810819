"""Contract 4's API, with a table, a store and an Airflow in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.errors import StorageError
from include.media_api import upload_service
from include.media_api.upload_service import UPLOAD_DAG, UploadService
from include.media_api.uploads_app import create_uploads_app
from include.media_store.credentials import Credentials, UploadAccess, session_policy
from include.settings import Settings
from include.uploads.models import Problem, Upload
from include.uploads.parts import landed
from include.uploads.registry import Uploads
from tests.media_api.fakes import FakeAirflow, MemoryStore
from tests.uploads.memory import MemoryTable

MIB = 2**20
LIST = "/api2/atom/atom-1/uploads"
BODY = {"filename": "clip.mp4", "size": 250 * MIB}


class FakeSts:
    """Hands out credentials and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def assume_role(self, **arguments: Any) -> dict[str, Any]:
        import datetime

        self.asked.append(arguments)
        until = datetime.datetime.fromtimestamp(2_000_000_000, datetime.timezone.utc)
        keys = {"AccessKeyId": "ASIAKEY", "SecretAccessKey": "the-secret", "SessionToken": "the-token"}
        return {"Credentials": keys | {"Expiration": until}}


class FakeCopies:
    """Keeps what was thrown away."""

    def __init__(self) -> None:
        self.aborted: list[str] = []

    def abort(self, bucket: str, key: str, multipart_id: str) -> None:
        self.aborted.append(multipart_id)


class Store(MemoryStore):
    def delete_prefix(self, bucket: str, prefix: str) -> int:
        gone = [key for key in self.objects[bucket] if key.startswith(prefix)]
        for key in gone:
            del self.objects[bucket][key]
        return len(gone)


class Airflow(FakeAirflow):
    def __init__(self) -> None:
        super().__init__()
        self.stopped: list[tuple[str, str]] = []

    async def stop(self, dag_id: str, run_id: str) -> None:
        self.stopped.append((dag_id, run_id))
        if (dag_id, run_id) in self.dag_runs:
            self.set_state(dag_id, run_id, "failed")


@pytest.fixture
def settings() -> Settings:
    keys = {"ours": "our-key", "other": "other-key"}
    return Settings(  # type: ignore[call-arg]
        _env_file=None, api_keys=keys, upload_max_bytes=2**40, upload_origins="https://news.example",
        upload_endpoint_url="http://s3.example:9000",
    )  # fmt: skip


@pytest.fixture
def sts() -> FakeSts:
    return FakeSts()


@pytest.fixture
def service(settings: Settings, sts: FakeSts, monkeypatch: pytest.MonkeyPatch) -> UploadService:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "server-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "server-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    access = UploadAccess(settings, sts=sts)
    copies: Any = FakeCopies()
    return UploadService(settings, Uploads(MemoryTable()), Store(), copies, access, Airflow())


@pytest.fixture
def app(service: UploadService) -> FastAPI:
    return create_uploads_app(service)


@pytest.fixture
def anonymous(app: FastAPI) -> Iterator[TestClient]:
    root = FastAPI()
    root.mount("/api2", app)
    with TestClient(root, base_url="http://reelflow.example") as client:
        yield client


@pytest.fixture
def client(anonymous: TestClient) -> TestClient:
    anonymous.headers["x-api-key"] = "our-key"
    return anonymous


def stored(service: UploadService, answer: dict[str, Any]) -> Upload:
    return service.uploads.read("atom-1", answer["id"])


def test_an_upload_has_the_fields_of_the_contract(client: TestClient) -> None:
    answer = client.post(LIST, json=BODY | {"destinations": ["youtube", "s3Bucket"]})
    assert answer.status_code == 200
    document = answer.json()
    assert (document["region"], document["bucket"]) == ("eu-west-1", "media")
    assert document["destinations"] == [
        {"type": "youtube", "status": "waiting", "progress": 0.0},
        {"type": "s3Bucket", "status": "waiting", "progress": 0.0},
    ]
    prefix = f"uploads/atom-1/{document['id']}/parts/"
    assert document["parts"] == [
        {"start": 0, "end": 100 * MIB, "key": f"{prefix}0", "complete": False},
        {"start": 100 * MIB, "end": 200 * MIB, "key": f"{prefix}1", "complete": False},
        {"start": 200 * MIB, "end": 250 * MIB, "key": f"{prefix}2", "complete": False},
    ]
    assert document["credentials"] == {
        "temporaryAccessId": "ASIAKEY", "temporarySecretKey": "the-secret", "sessionToken": "the-token", "expiry": 2_000_000_000,
    }  # fmt: skip


def test_its_run_is_started_with_its_name_and_nothing_secret(client: TestClient, service: UploadService) -> None:
    document = client.post(LIST, json=BODY).json()
    airflow: Any = service.gateway
    [(dag_id, run_id)] = airflow.dag_runs
    assert (dag_id, run_id) == (UPLOAD_DAG, f"upload__{document['id']}")
    conf = airflow.dag_runs[dag_id, run_id].conf
    assert conf == {"atom_id": "atom-1", "upload_id": document["id"], "client": "ours", "filename": BODY["filename"]}


def test_credentials_are_kept_nowhere(client: TestClient, service: UploadService) -> None:
    client.post(LIST, json=BODY)
    table: Any = service.uploads._table
    airflow: Any = service.gateway
    kept = json.dumps(list(table.items.values())) + str(airflow.dag_runs) + str(airflow.notes) + str(service)
    assert not any(secret in kept for secret in ("the-secret", "the-token", "ASIAKEY"))
    assert "the-secret" not in repr(Credentials("ASIAKEY", "the-secret", "the-token", 1))


def test_credentials_write_the_parts_of_this_upload_and_nothing_else(client: TestClient, sts: FakeSts) -> None:
    document = client.post(LIST, json=BODY).json()
    policy = json.loads(sts.asked[0]["Policy"])
    assert policy["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["s3:PutObject"],
            "Resource": [f"arn:aws:s3:::media/uploads/atom-1/{document['id']}/parts/*"],
        }
    ]
    assert (sts.asked[0]["DurationSeconds"], " " in sts.asked[0]["Policy"]) == (900, False)
    assert len(sts.asked[0]["RoleSessionName"]) <= 64


def test_refreshed_credentials_can_be_narrowed_to_one_part_of_the_upload(client: TestClient, sts: FakeSts) -> None:
    document = client.post(LIST, json=BODY).json()
    path = f"{LIST}/{document['id']}/credentials"
    assert set(client.post(path).json()) == {"credentials"}
    key = document["parts"][1]["key"]
    assert client.post(path, json={"key": key}).status_code == 200
    assert json.loads(sts.asked[-1]["Policy"])["Statement"][0]["Resource"] == [f"arn:aws:s3:::media/{key}"]
    for wrong in ("uploads/atom-1/x/parts/0", f"{key}*", "*", document["parts"][1]["key"] + "/x"):
        refused = client.post(path, json={"key": wrong})
        assert (refused.status_code, "key" in refused.json()["message"]) == (400, True)


def test_the_partition_of_the_role_is_that_of_the_policy() -> None:
    assert "arn:aws-cn:s3:::bucket/key" in session_policy("bucket", "key", partition="aws-cn")


def test_a_part_url_takes_a_put_of_that_part_at_the_address_that_clients_use(client: TestClient) -> None:
    document = client.post(LIST, json=BODY).json()
    answer = client.get(f"{LIST}/{document['id']}/parts/2/url").json()
    url = urlsplit(answer["url"])
    assert url.netloc == "s3.example:9000"
    assert url.path == f"/media/uploads/atom-1/{document['id']}/parts/2"
    query = parse_qs(url.query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["900"]
    assert (answer["start"], answer["end"]) == (200 * MIB, 250 * MIB)
    assert client.get(f"{LIST}/{document['id']}/parts/3/url").status_code == 404
    assert client.get(f"{LIST}/{document['id']}/parts/-1/url").status_code == 404
    assert client.get(f"{LIST}/{document['id']}/parts/x/url").status_code == 400


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"size": 0}, "size"),
        ({"size": -1}, "size"),
        ({"size": True}, "size"),
        ({"size": "5"}, "size"),
        ({"size": 2**40 + 1}, "size"),
        ({"size": None}, "size"),
        ({"filename": ""}, "filename"),
        ({"filename": "a\nb"}, "filename"),
        ({"filename": "x" * 256}, "filename"),
        ({"destinations": []}, "destinations"),
        ({"destinations": ["vimeo"]}, "destinations"),
        ({"destinations": ["youtube", "youtube"]}, "destinations"),
        ({"title": "x" * 101}, "title"),
        ({"title": "a<b", "destinations": ["youtube"]}, "title"),
        ({"tags": ["x" * 501]}, "tags"),
        ({"tags": ["x" * 250, "y" * 251], "destinations": ["s3Bucket"]}, "tags"),
        ({"privacy": "secret"}, "privacy"),
        ({"sha256": "abc"}, "sha256"),
        ({"channel": "../x"}, "channel"),
        ({"colour": "blue"}, "colour"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named_and_nothing_is_made(
    client: TestClient, service: UploadService, change: dict[str, Any], field: str
) -> None:
    answer = client.post(LIST, json=BODY | change)
    assert answer.status_code == 400
    assert field in answer.json()["message"]
    table: Any = service.uploads._table
    assert not table.items


def test_youtubes_bounds_are_for_what_goes_to_youtube(client: TestClient) -> None:
    for change in ({"title": "a<b"}, {"tags": ["<", "x" * 499]}):
        assert client.post(LIST, json=BODY | change | {"destinations": ["s3Bucket"]}).status_code == 200
        assert client.post(LIST, json=BODY | change | {"destinations": ["youtube"]}).status_code == 400


def test_an_atom_or_upload_of_another_client_is_as_one_that_does_not_exist(client: TestClient) -> None:
    upload_id = client.post(LIST, json=BODY).json()["id"]
    paths = [("GET", LIST), ("GET", f"{LIST}/{upload_id}"), ("DELETE", f"{LIST}/{upload_id}")]
    paths += [("POST", f"{LIST}/{upload_id}/credentials"), ("GET", f"{LIST}/{upload_id}/parts/0/url")]
    for method, path in paths:
        foreign = client.request(method, path, headers={"x-api-key": "other-key"})
        absent = client.request(method, path.replace("atom-1", "atom-2"))
        assert (foreign.status_code, foreign.json()) == (404, absent.json())
    assert client.get(f"{LIST}/{upload_id}").status_code == 200


def test_every_path_wants_a_key(anonymous: TestClient, app: FastAPI) -> None:
    values = {"{atom_id}": "a", "{upload_id}": "u", "{n}": "0"}
    paths = [f"/api2{getattr(route, 'path', '')}" for route in app.routes]
    for name, value in values.items():
        paths = [path.replace(name, value) for path in paths]
    assert len(paths) >= 7
    for path in [*paths, "/api2/nothing"]:
        for method in ("GET", "POST", "DELETE", "PUT"):
            answer = anonymous.request(method, path)
            assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"}), (method, path)


def test_uploads_are_listed_newest_first_and_parts_show_what_landed(client: TestClient, service: UploadService) -> None:
    first, second = (client.post(LIST, json=BODY).json() for _ in range(2))
    upload = stored(service, first)
    service.uploads.set_landed(upload, lambda now: landed(now, {0: 100 * MIB, 2: 5}, now=1.0))
    listed = client.get(LIST).json()["uploads"]
    assert {one["id"] for one in listed} == {first["id"], second["id"]}
    assert [one["id"] for one in listed] == sorted((one["id"] for one in listed), reverse=True)
    assert all("credentials" not in one for one in listed)
    parts = client.get(f"{LIST}/{first['id']}").json()["parts"]
    assert [part["complete"] for part in parts] == [True, False, False]
    assert "error" not in parts[1]
    assert parts[2]["error"].startswith("Part 2 has 5 bytes")


def test_a_failed_upload_leaves_the_list_after_ten_minutes(
    client: TestClient, service: UploadService, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = stored(service, client.post(LIST, json=BODY).json())
    service.uploads.fail(upload.reference, Problem(code="TimeOut", message="Timed out waiting for part 0"))
    assert len(client.get(LIST).json()["uploads"]) == 1
    refused = client.post(f"{LIST}/{upload.id}/credentials")
    assert (refused.status_code, "part 0" in refused.json()["message"]) == (409, True)
    monkeypatch.setattr(upload_service, "SHOWN_SECONDS", 0)
    assert client.get(LIST).json() == {"uploads": []}
    assert client.get(f"{LIST}/{upload.id}").status_code == 200


def test_an_aborted_upload_is_gone_with_its_parts_and_its_runs(client: TestClient, service: UploadService) -> None:
    document = client.post(LIST, json=BODY).json()
    store: Any = service.store
    copies: Any = service.copies
    airflow: Any = service.gateway
    store.add(*(part["key"] for part in document["parts"]), "uploads/atom-1/other/parts/0")
    upload = stored(service, document)
    service.uploads.set_joined(upload, lambda now: now.model_copy(update={"multipart_id": "half-done"}))
    assert client.delete(f"{LIST}/{document['id']}").status_code == 204
    assert set(store.objects["media"]) == {"uploads/atom-1/other/parts/0"}
    assert copies.aborted == ["half-done"]
    assert {dag for dag, _ in airflow.stopped} == {"upload", "transcode"}
    assert client.get(f"{LIST}/{document['id']}").status_code == 404
    assert client.get(LIST).json() == {"uploads": []}


def test_aborting_again_does_what_the_first_time_has_left_undone(
    client: TestClient, service: UploadService, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = client.post(LIST, json=BODY).json()
    store: Any = service.store
    store.add(*(part["key"] for part in document["parts"]))

    def away(bucket: str, prefix: str) -> int:
        raise StorageError("The store is away.")

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete_prefix", away)
        assert client.delete(f"{LIST}/{document['id']}").status_code == 503
    assert store.objects["media"]
    other = client.delete(f"{LIST}/{document['id']}", headers={"x-api-key": "other-key"})
    assert other.status_code == 404
    assert client.delete(f"{LIST}/{document['id']}").status_code == 204
    assert not store.objects["media"]


def test_what_is_complete_cannot_be_aborted(client: TestClient, service: UploadService) -> None:
    upload = stored(service, client.post(LIST, json=BODY).json())
    service.uploads.complete(upload.reference)
    assert client.delete(f"{LIST}/{upload.id}").status_code == 409
    assert client.get(f"{LIST}/{upload.id}").status_code == 200


def test_an_upload_whose_run_was_ended_by_an_operator_has_failed(client: TestClient, service: UploadService) -> None:
    upload = stored(service, client.post(LIST, json=BODY).json())
    airflow: Any = service.gateway
    airflow.set_state(UPLOAD_DAG, upload.reference.run_id, "failed")
    document = client.get(f"{LIST}/{upload.id}").json()
    assert document["destinations"][0]["status"] == "failed"
    assert "Create a new upload" in document["destinations"][0]["error"]


def test_an_upload_that_never_got_its_run_gets_it_when_it_is_asked_for(
    client: TestClient, service: UploadService, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = stored(service, client.post(LIST, json=BODY).json())
    airflow: Any = service.gateway
    airflow.dag_runs.clear()
    client.get(f"{LIST}/{upload.id}")
    assert not airflow.dag_runs
    monkeypatch.setattr(upload_service, "START_SECONDS", 0.0)
    client.get(f"{LIST}/{upload.id}")
    assert (UPLOAD_DAG, upload.reference.run_id) in airflow.dag_runs


def test_only_pages_of_known_origins_may_call(client: TestClient) -> None:
    def preflight(origin: str) -> Any:
        wanted = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
        return client.options(LIST, headers=wanted)

    assert preflight("https://news.example").headers["access-control-allow-origin"] == "https://news.example"
    assert "access-control-allow-origin" not in preflight("https://evil.example").headers
    answer = client.post(LIST, json=BODY, headers={"Origin": "https://news.example"})
    assert answer.headers["access-control-allow-origin"] == "https://news.example"


def test_the_description_names_every_path(client: TestClient) -> None:
    paths = client.get("/api2/openapi.json").json()["paths"]
    assert {len(path.split("/")) for path in paths} == {4, 5, 6, 8}
