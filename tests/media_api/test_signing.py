"""Signatures of contract 3: what is let in, and that all else is refused in the same words."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.errors import StorageError
from include.media_api import signing
from include.media_api.signing import REFUSAL, SigningMiddleware, check_sum, signature
from include.media_api.task_app import create_task_app
from include.settings import Settings
from tests.media_api.fakes import FakeAirflow, MemoryStore, MemoryTables
from tests.media_api.signed import KEYS, TASKS, headers, task

PUBLIC, PRIVATE = KEYS["demo"]


def with_signature(method: str = "GET", target: str = TASKS, body: bytes = b"", **changes: str) -> dict[str, str]:
    given = headers()
    return given | {"apiSignature": signature(PRIVATE, method, target, body, given)} | changes


def test_the_check_sum_is_the_contracts(unsigned: TestClient) -> None:
    """SHA-1 of the plain concatenation of private key, nonce, client code and time."""
    assert check_sum("secret", "42", "demo", "1700000000") == hashlib.sha1(b"secret42demo1700000000").hexdigest()
    assert unsigned.get(TASKS, headers=headers()).status_code == 200


def test_the_signature_is_over_seven_lines() -> None:
    """As `openssl dgst -sha256 -hmac secret` has it, so that clients in other languages can be checked against it."""
    given = {"apiPublicKey": "public", "apiNonce": "42", "apiClientCode": "demo", "apiExecTime": "1700000000"}
    assert (
        signature("secret", "POST", "/api/v1/profile?x=1", b"{}", given)
        == "43e1e1c4516214cb0bf7f2476788766ab87179366c6604d9807cce5156c373a7"
    )


def as_bytes(name: str, value: str) -> dict[bytes, bytes]:
    return {other.encode(): text.encode() for other, text in (headers() | {name: value}).items()}


def without(name: str) -> dict[str, str]:
    return {other: value for other, value in headers().items() if other != name}


WRONG: dict[str, Any] = {
    "no headers at all": dict,
    **{f"no {name}": lambda name=name: without(name) for name in headers()},
    **{f"an empty {name}": lambda name=name: headers(**{name: ""}) for name in headers()},
    **{f"{name} twice": lambda name=name: [*headers().items(), (name, headers()[name])] for name in headers()},
    **{f"{name} not ASCII": lambda name=name: as_bytes(name, "ключ") for name in headers()},
    "another private key": lambda: headers(apiCheckSum=check_sum("wrong", "77", "demo", str(int(time.time()))), apiNonce="77"),
    "an unknown public key": lambda: headers(apiPublicKey="unknown"),
    "the public key of another client": lambda: headers(apiPublicKey=KEYS["other"][0]),
    "the code of another client": lambda: headers(apiClientCode="other"),
    "an unknown client": lambda: headers(apiClientCode="nobody"),
    "another order of what is signed": lambda: in_order("{0}{2}{1}{3}"),
    "something between what is signed": lambda: in_order("{0}:{1}:{2}:{3}"),
    "a nonce that was not signed": lambda: headers(apiNonce="987654321"),
    "a time that was not signed": lambda: headers(apiExecTime=str(int(time.time()) + 1)),
    "a time that is past": lambda: headers(exec_time=time.time() - 302),
    "a time to come": lambda: headers(exec_time=time.time() + 302),
    "a nonce of letters": lambda: headers(nonce="abc"),
    "a nonce of other digits": lambda: as_bytes("apiNonce", "１２"),
    "a nonce of 65 digits": lambda: headers(nonce="1" * 65),
    "a time with zeros before it": lambda: spelt("0{}"),
    "a time with a sign": lambda: spelt("+{}"),
    "a time with a fraction": lambda: spelt("{}.0"),
    "a time as long as it gets": lambda: spelt("9" * 4000),
    "a time in milliseconds": lambda: spelt("{}000"),
    "a check sum cut short": lambda: headers() | {"apiCheckSum": headers()["apiCheckSum"][:-1]},
    "a check sum of another kind": lambda: headers(apiCheckSum=hashlib.sha256(b"x").hexdigest()),
    "a signature of nothing": lambda: headers(apiSignature=""),
    "a wrong signature": lambda: headers(apiSignature="0" * 64),
    "a signature of another method": lambda: with_signature(method="DELETE"),
    "a signature of another path": lambda: with_signature(target="/api/v1/profiles"),
    "a signature of another query": lambda: with_signature(target=f"{TASKS}?limit=5"),
    "a signature of another body": lambda: with_signature(body=b"{}"),
    "a signature with another nonce": lambda: with_signature() | headers(),
    "two signatures": lambda: [*(given := with_signature()).items(), ("apiSignature", given["apiSignature"])],
    "a signature that is not ASCII": lambda: as_bytes("apiSignature", "ф"),
    "the key of the other contracts": lambda: {"x-api-key": "ott-key-1"},
}  # fmt: skip


def in_order(pattern: str) -> dict[str, str]:
    given = headers()
    text = pattern.format(PRIVATE, given["apiNonce"], "demo", given["apiExecTime"])
    return given | {"apiCheckSum": hashlib.sha1(text.encode()).hexdigest()}


def spelt(pattern: str) -> dict[str, str]:
    given = headers()
    second = pattern.format(given["apiExecTime"])
    return given | {"apiExecTime": second, "apiCheckSum": check_sum(PRIVATE, given["apiNonce"], "demo", second)}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG.keys())
def test_what_is_not_signed_right_is_refused_in_the_same_words(unsigned: TestClient, tables: MemoryTables, make: Any) -> None:
    answer = unsigned.get(TASKS, headers=make())
    assert (answer.status_code, answer.json()) == (401, REFUSAL)
    assert tables.nonces == {}, "a refused request has used up a nonce"


def test_the_refusal_gives_no_hint(unsigned: TestClient) -> None:
    answers = [unsigned.get(TASKS, headers=make()) for make in WRONG.values()]
    assert len({(answer.content, tuple(sorted(answer.headers.items()))) for answer in answers}) == 1


@pytest.mark.parametrize("skew", [-299, 299])
def test_clocks_may_differ_by_five_minutes(unsigned: TestClient, skew: int) -> None:
    assert unsigned.get(TASKS, headers=headers(exec_time=time.time() + skew)).status_code == 200


def test_a_check_sum_may_be_in_capital_letters(unsigned: TestClient) -> None:
    given = with_signature()
    given |= {name: given[name].upper() for name in ("apiCheckSum", "apiSignature")}
    assert unsigned.get(TASKS, headers=given).status_code == 200


def test_a_nonce_is_good_once_per_key(unsigned: TestClient) -> None:
    given = headers(nonce="4711")
    assert unsigned.get(TASKS, headers=given).status_code == 200
    assert (unsigned.get(TASKS, headers=given).status_code, unsigned.get(TASKS, headers=headers(nonce="4711")).json()) == (
        401,
        REFUSAL,
    )
    assert unsigned.get(TASKS, headers=headers("other", nonce="4711")).status_code == 200


def test_of_many_at_the_same_moment_one_is_let_in(unsigned: TestClient) -> None:
    given = headers()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: unsigned.get(TASKS, headers=given).status_code, range(16)))
    assert sorted(answers) == [200] + [401] * 15


def test_two_servers_agree_through_their_table(
    settings: Settings, store: MemoryStore, airflow: FakeAirflow, tables: MemoryTables
) -> None:
    servers = [TestClient(create_task_app(settings, store, airflow, tables)) for _ in range(2)]
    given = headers()
    assert [server.get(TASKS, headers=given).status_code for server in servers] == [200, 401]


def test_a_nonce_is_kept_until_nobody_could_use_it_again(unsigned: TestClient, tables: MemoryTables) -> None:
    now = int(time.time())
    for ahead in (-290, 290):
        unsigned.get(TASKS, headers=headers(exec_time=now + ahead))
    past, coming = tables.nonces.values()
    assert past >= now + 300
    assert coming >= now + 290 + 300


def test_a_nonce_that_was_refused_for_another_reason_is_still_good(unsigned: TestClient) -> None:
    assert unsigned.get(TASKS, headers=headers(nonce="5", apiCheckSum="0" * 40)).status_code == 401
    assert unsigned.get(TASKS, headers=headers(nonce="5") | {"apiSignature": "0" * 64}).status_code == 401
    assert unsigned.get(TASKS, headers=headers(nonce="5")).status_code == 200


def test_a_client_may_have_several_keys(
    settings: Settings, store: MemoryStore, airflow: FakeAirflow, tables: MemoryTables
) -> None:
    """Rotation: the new pair works beside the old one, and the old one no more once it is taken away."""
    both = Settings(_env_file=None, signing_keys=f"demo:{PUBLIC}:{PRIVATE},demo:new-public:new-private")  # type: ignore[call-arg,arg-type]
    only_new = Settings(_env_file=None, signing_keys="demo:new-public:new-private")  # type: ignore[call-arg,arg-type]
    second = str(int(time.time()))
    new = {
        "apiPublicKey": "new-public",
        "apiClientCode": "demo",
        "apiExecTime": second,
    }

    def statuses(given: Settings, nonce: str) -> tuple[int, int]:
        server = TestClient(create_task_app(given, store, airflow, tables))
        renewed = new | {"apiNonce": nonce, "apiCheckSum": check_sum("new-private", nonce, "demo", second)}
        return server.get(TASKS, headers=headers()).status_code, server.get(TASKS, headers=renewed).status_code

    assert statuses(both, "1000001") == (200, 200)
    assert statuses(only_new, "1000002") == (401, 200)


def test_two_clients_may_have_the_same_public_key(store: MemoryStore, airflow: FakeAirflow, tables: MemoryTables) -> None:
    keys = Settings(_env_file=None, signing_keys="a:shared:one,b:shared:two")  # type: ignore[call-arg,arg-type]
    server = TestClient(create_task_app(keys, store, airflow, tables))
    second = str(int(time.time()))

    def ask(client: str, private: str) -> int:
        given = {"apiPublicKey": "shared", "apiNonce": "1", "apiClientCode": client, "apiExecTime": second}
        return server.get(TASKS, headers=given | {"apiCheckSum": check_sum(private, "1", client, second)}).status_code

    assert [ask("a", "two"), ask("b", "one"), ask("a", "one"), ask("b", "two")] == [401, 401, 200, 200]


# -- the stronger signature


def test_a_signature_covers_method_path_query_and_body(unsigned: TestClient) -> None:
    body = b'{"targets": []}'
    target = f"{TASKS}?%C3%A4=%20&x"
    answer = unsigned.post(target, content=body, headers=with_signature("POST", target, body))
    assert answer.status_code == 400, "understood, and found to be wrong"
    assert unsigned.post(target, content=body + b" ", headers=with_signature("POST", target, body)).status_code == 401


@pytest.fixture
def strict(store: MemoryStore, airflow: FakeAirflow, tables: MemoryTables) -> Iterator[TestClient]:
    settings = Settings(_env_file=None, signing_keys=f"demo:{PUBLIC}:{PRIVATE}", signing_strict=True)  # type: ignore[call-arg,arg-type]
    with TestClient(create_task_app(settings, store, airflow, tables)) as client:
        yield client


def test_a_setting_makes_the_signature_mandatory(strict: TestClient) -> None:
    assert (strict.get(TASKS, headers=headers()).status_code, strict.get(TASKS, headers=with_signature()).status_code) == (
        401,
        200,
    )


def test_the_body_arrives_whole_after_it_was_checked(strict: TestClient, store: MemoryStore) -> None:
    body = json.dumps(task(callback_url=None)).encode() + b" " * 100_000
    answer = strict.post(TASKS, content=iter([body[:10], body[10:]]), headers=with_signature("POST", TASKS, body))
    assert answer.status_code == 200, answer.text


def test_a_signed_body_that_is_too_large_is_refused(strict: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 100_000

    answer = strict.post(TASKS, content=endless(), headers=with_signature("POST"))
    assert (answer.status_code, answer.json()["code"]) == (413, "RequestTooLarge")


# -- before anything else


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"x" * 2_000_000], ids=["cut", "deep", "large"])
def test_the_signature_is_looked_at_before_the_body(unsigned: TestClient, content: bytes) -> None:
    assert unsigned.post(TASKS, content=content, headers=headers(apiCheckSum="0" * 40)).json() == REFUSAL


def test_an_app_without_keys_is_closed(store: MemoryStore, airflow: FakeAirflow, tables: MemoryTables) -> None:
    closed = TestClient(create_task_app(Settings(_env_file=None), store, airflow, tables))  # type: ignore[call-arg]
    assert closed.get(TASKS, headers=headers()).status_code == 401


def test_a_table_that_does_not_answer_lets_nobody_in(unsigned: TestClient, tables: MemoryTables) -> None:
    tables.error = StorageError("The table did not answer.")
    answer = unsigned.get(TASKS, headers=headers())
    assert (answer.status_code, answer.json()) == (503, {"code": "InternalError", "message": "The table did not answer."})


def test_private_keys_are_not_logged(unsigned: TestClient, airflow: FakeAirflow, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    airflow.error = RuntimeError("boom")
    assert unsigned.post(TASKS, json=task(), headers=headers()).status_code == 500
    unsigned.get(TASKS, headers=headers(apiCheckSum="0" * 40))
    assert PRIVATE not in caplog.text


def test_it_takes_no_longer_to_refuse_a_known_key_than_an_unknown_one(settings: Settings, tables: MemoryTables) -> None:
    """The same work is done for both: one check sum, one comparison."""
    done: list[str] = []
    middleware = SigningMiddleware(FastAPI(), settings, tables)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signing, "check_sum", lambda *given: done.append(given[1]) or "0" * 40)
        for given in (headers(nonce="1"), headers(nonce="2", apiPublicKey="unknown")):
            assert middleware._key_of(signing.Headers(given)) is None
    assert done == ["1", "2"]
