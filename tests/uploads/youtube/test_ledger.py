"""Who may write to a session."""

from __future__ import annotations

import time
from typing import Any

import pytest

from include.errors import NotFound
from include.uploads.models import UploadReference
from include.uploads.youtube.ledger import LeaseTaken, Ledger, read_note
from tests.uploads.memory import MemoryTable

REFERENCE = UploadReference(atom_id="atom", upload_id="upload", client="ours")


class Table(MemoryTable):
    """A table whose answers may be lost."""

    lose = 0

    def replace(self, atom_id: str, upload_id: str, name: str, *, old: str | None, new: str) -> bool:
        replaced = super().replace(atom_id, upload_id, name, old=old, new=new)
        if replaced and self.lose:
            # As the SDK does when the answer was lost: it asks again, and the condition does not hold any more.
            self.lose -= 1
            return False
        return replaced


@pytest.fixture
def table() -> Table:
    table = Table()
    table.create("atom", "upload", {}, 0)
    return table


def ledger(table: Table, owner: str, **arguments: Any) -> Ledger:
    return Ledger(table, REFERENCE, owner, **arguments)


def test_one_process_at_a_time_has_the_lease(table: Table) -> None:
    with ledger(table, "one").lease():
        with pytest.raises(LeaseTaken) as caught, ledger(table, "two").lease():
            pass
        assert caught.value.until > time.time() + 30
    with ledger(table, "two").lease():
        pass


def test_what_was_kept_is_there_for_the_next_one(table: Table) -> None:
    one = ledger(table, "one")
    with one.lease():
        one.keep(session="https://session", offset=7)
    two = ledger(table, "two")
    with two.lease():
        assert (two.note.session, two.note.offset) == ("https://session", 7)
    assert read_note(table, REFERENCE).offset == 7


def test_a_lease_ends_with_time_and_its_old_owner_finds_out(table: Table) -> None:
    one = ledger(table, "one", clock=lambda: time.time() - 1000)
    with one.lease():
        with ledger(table, "two").lease(), pytest.raises(LeaseTaken):
            one.keep(offset=7)
        assert read_note(table, REFERENCE).offset == 0


def test_a_lease_is_renewed_while_it_is_held(table: Table) -> None:
    with ledger(table, "one", seconds=0.4).lease():
        time.sleep(1)
        with pytest.raises(LeaseTaken), ledger(table, "two").lease():
            pass


def test_a_write_whose_answer_was_lost_is_known_as_ones_own(table: Table) -> None:
    one = ledger(table, "one")
    with one.lease():
        table.lose = 1
        one.keep(offset=7)
        one.keep(offset=8)
    assert read_note(table, REFERENCE).offset == 8


def test_an_upload_that_is_not_there_has_no_lease(table: Table) -> None:
    table.items.clear()
    with pytest.raises(NotFound), ledger(table, "one").lease():
        pass
