"""The API of a running stack under clients that create and poll at the same time; `make bench-api` asks for more."""

from __future__ import annotations

import asyncio

import pytest

from scripts.load import load, upload_source
from tests.e2e.stack import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack"), pytest.mark.timeout(600), pytest.mark.long]


def test_twenty_clients_at_once_get_no_server_error(stack: RunningStack) -> None:
    upload_source(stack.stack)
    tally = asyncio.run(load(stack.stack, clients=20, seconds=20, looks=10))
    print(tally.table())
    assert tally.server_errors == 0
    assert {status for _, status in tally.statuses} == {200}
    # On processors that nobody else wants it is a tenth of this.
    assert tally.worst() < 5
