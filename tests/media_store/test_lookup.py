"""Looking up many objects at once."""

from __future__ import annotations

from include.media_store.lookup import current
from tests.media_api.fakes import MemoryStore


def test_objects_of_several_folders_are_found_without_a_look_at_anything_else() -> None:
    store = MemoryStore("media", "other")
    store.add(*(f"unrelated/{n}" for n in range(1000)), *(f"{n}.mp4" for n in range(100)))
    wanted = [f"a/{n}.ts" for n in range(6)] + ["b/one.mp4"] + [f"{n}.mp4" for n in range(6)]
    store.add(*wanted)
    store.add("b/one.mp4", bucket="other")
    refs = [ref for bucket in ("media", "other") for key in wanted if (ref := store.head(bucket, key))]
    store.calls.clear()
    assert set(current(store, refs).values()) == set(refs)
    assert (store.calls["list"], store.calls["listed"], store.calls["head"]) == (1, 6, 8)


def test_what_is_gone_is_not_found_and_what_was_replaced_is_found_as_it_is() -> None:
    store = MemoryStore("media")
    store.add(*(f"a/{n}" for n in range(6)))
    refs = list(store.list("media", "a/"))
    store.delete("media", "a/0")
    store.add("a/1", data=b"other")
    found = current(store, refs)
    assert ("media", "a/0") not in found
    assert [ref for ref in refs[1:] if found["media", ref.key] != ref] == [refs[1]]
