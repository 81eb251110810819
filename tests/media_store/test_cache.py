from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from include.errors import Cancelled, InternalError, NotFound
from include.media_store.cache import ObjectCache
from include.media_store.locks import file_lock
from include.media_store.models import ObjectRef, object_uri, parse_uri
from include.media_store.objects import S3ObjectStore
from include.media_store.scratch import folder_beside, private_folder, scratch_folder, sweep
from include.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", cache_max_bytes=1000)


def objects(settings: Settings) -> list[Path]:
    return [path for path in (settings.cache_dir / "objects").iterdir() if path.suffix != ".lock"]


def put(store: S3ObjectStore, bucket: str, key: str, size: int) -> ObjectRef:
    return store.put_bytes(bucket, key, os.urandom(size))


def test_an_object_is_downloaded_once(store: S3ObjectStore, bucket: str, settings: Settings, tmp_path: Path) -> None:
    ref = put(store, bucket, "cache/once", 100)
    cache = ObjectCache(settings)
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda n: cache.fetch(store, ref, tmp_path / f"scratch/{n}"), range(8)))
    assert store.bytes_read == 100
    assert {path.read_bytes() for path in paths} == {store.get_bytes(bucket, "cache/once")}


def test_another_version_is_another_file(store: S3ObjectStore, bucket: str, settings: Settings) -> None:
    cache = ObjectCache(settings)
    first = cache.fetch(store, put(store, bucket, "cache/version", 10)).read_bytes()
    second = cache.fetch(store, put(store, bucket, "cache/version", 10)).read_bytes()
    assert first != second
    assert len(objects(settings)) == 2


def test_what_was_used_longest_ago_goes_first(store: S3ObjectStore, bucket: str, settings: Settings) -> None:
    cache = ObjectCache(settings)
    refs = [put(store, bucket, f"cache/lru-{n}", 400) for n in range(3)]
    for ref in (refs[0], refs[1], refs[0], refs[2]):
        cache.fetch(store, ref)
        time.sleep(0.01)
    read = store.bytes_read
    cache.fetch(store, refs[0])
    cache.fetch(store, refs[2])
    assert store.bytes_read == read
    cache.fetch(store, refs[1])
    assert store.bytes_read == read + 400


def test_trimming_leaves_what_is_in_use(store: S3ObjectStore, bucket: str, settings: Settings, tmp_path: Path) -> None:
    cache = ObjectCache(settings)
    held = cache.fetch(store, put(store, bucket, "cache/held", 900), tmp_path / "scratch" / "held")
    content = held.read_bytes()
    for n in range(3):
        cache.fetch(store, put(store, bucket, f"cache/other-{n}", 900))
    assert held.read_bytes() == content
    assert held.stat().st_nlink == 2
    held.unlink()
    cache.trim()
    assert sum(path.stat().st_size for path in objects(settings)) <= 1000


def test_an_object_larger_than_the_cache_still_comes(
    store: S3ObjectStore, bucket: str, settings: Settings, tmp_path: Path
) -> None:
    ref = put(store, bucket, "cache/large", 5000)
    assert ObjectCache(settings).fetch(store, ref, tmp_path / "large").stat().st_size == 5000


def test_an_uploaded_file_is_kept(store: S3ObjectStore, bucket: str, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "made.mp4").write_bytes(b"video")
    cache = ObjectCache(settings)
    ref = store.upload(tmp_path / "made.mp4", bucket, "cache/made.mp4")
    cache.add(tmp_path / "made.mp4", ref)
    cache.add(tmp_path / "made.mp4", ref)
    (tmp_path / "made.mp4").unlink()
    assert cache.fetch(store, ref).read_bytes() == b"video"
    assert store.bytes_read == 0


def test_a_shortened_file_in_the_cache_is_fetched_again(store: S3ObjectStore, bucket: str, settings: Settings) -> None:
    ref = put(store, bucket, "cache/short", 100)
    cache = ObjectCache(settings)
    os.truncate(cache.fetch(store, ref), 50)
    assert cache.fetch(store, ref).stat().st_size == 100


def test_an_absent_object_leaves_nothing(store: S3ObjectStore, bucket: str, settings: Settings) -> None:
    ref = ObjectRef(bucket=bucket, key="cache/absent", etag="0" * 32, size=5)
    with pytest.raises(NotFound):
        ObjectCache(settings).fetch(store, ref)
    assert objects(settings) == []
    assert list((settings.cache_dir / "scratch").iterdir()) == []


def test_a_transfer_can_be_given_up(store: S3ObjectStore, bucket: str, settings: Settings) -> None:
    def give_up(_: int) -> None:
        raise Cancelled("The work was cancelled.")

    ref = put(store, bucket, "cache/give-up", 100)
    with pytest.raises(Cancelled):
        ObjectCache(settings).fetch(store, ref, on_bytes=give_up)
    assert objects(settings) == []


def test_waiting_for_a_lock_can_be_given_up(tmp_path: Path) -> None:
    def give_up() -> None:
        raise Cancelled("The work was cancelled.")

    with file_lock(tmp_path / "x.lock"), pytest.raises(Cancelled), file_lock(tmp_path / "x.lock", give_up):
        pass


def test_a_killed_process_leaves_neither_locks_nor_scratch(settings: Settings) -> None:
    program = f"""
        import sys, time
        from pathlib import Path
        from include.media_store.locks import file_lock
        from include.media_store.scratch import scratch_folder
        with file_lock(Path({str(settings.cache_dir / "x.lock")!r})), scratch_folder(Path({str(settings.cache_dir)!r})) as folder:
            (folder / "half.mp4").write_bytes(b"x" * 1000)
            print(folder, flush=True)
            time.sleep(600)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    folder = Path(child.stdout.readline().strip())
    assert (folder / "half.mp4").exists()
    assert sweep(settings.cache_dir) == 0
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with file_lock(settings.cache_dir / "x.lock"), scratch_folder(settings.cache_dir) as mine:
        assert not folder.exists()
        assert mine.exists()
    assert not mine.exists()


def killed(program: str, *made: Path) -> None:
    """Run a Python until it prints "ready", see that ``made`` are there, and kill it."""
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "ready"
    assert all(path.exists() for path in made)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


def test_nothing_of_a_killed_download_stays(settings: Settings, store: S3ObjectStore, bucket: str, tmp_path: Path) -> None:
    ref = put(store, bucket, "cache/killed", 100)
    program = f"""
        import time
        from pathlib import Path
        from include.media_store.cache import ObjectCache
        from include.media_store.locks import file_lock
        from include.media_store.models import ObjectRef
        from include.settings import Settings

        class Slow:
            def download(self, ref, path, on_bytes):
                path.with_name(".half.part").write_bytes(b"x" * 50)
                print("ready", flush=True)
                time.sleep(600)

        settings = Settings(cache_dir=Path({str(settings.cache_dir)!r}), cache_max_bytes=1000)
        with file_lock(settings.cache_dir / "locks" / "unit.lock"):
            ObjectCache(settings).fetch(Slow(), ObjectRef.model_validate_json({ref.model_dump_json()!r}))
    """
    killed(program, settings.cache_dir / "locks" / "unit.lock")
    left = [path for path in settings.cache_dir.rglob("*") if path.is_file()]
    assert {path.name for path in left} >= {".half.part", "unit.lock"}
    assert ObjectCache(settings).fetch(store, ref, tmp_path / "mine").read_bytes() == store.get_bytes(bucket, "cache/killed")
    sweep(settings.cache_dir)
    assert [path for path in settings.cache_dir.rglob("*") if path.is_file()] == objects(settings)


@pytest.mark.parametrize("left", ["lock", "folder", "both"])
def test_half_of_a_scratch_folder_is_enough_to_go_by(settings: Settings, left: str) -> None:
    scratch = settings.cache_dir / "scratch"
    scratch.mkdir(parents=True)
    if left != "folder":
        (scratch / f"{'a' * 32}.lock").touch()
    if left != "lock":
        (scratch / ("a" * 32)).mkdir()
    assert sweep(settings.cache_dir) == (left != "lock")
    assert list(scratch.iterdir()) == []


def test_folders_beside_an_output_are_swept_and_nothing_else_is(tmp_path: Path) -> None:
    program = f"""
        import time
        from pathlib import Path
        from include.media_store.scratch import folder_beside
        with folder_beside(Path({str(tmp_path / "out.mp4")!r})) as folder:
            (folder / "half.mp4").write_bytes(b"x")
            print("ready", flush=True)
            time.sleep(600)
    """
    others = [tmp_path / name for name in (".reelflow-notes", "out.mp4.lock", ".reelflow", f"{'a' * 32}")]
    for other in others:
        other.mkdir()
    killed(program)
    with folder_beside(tmp_path / "out.mp4") as mine, folder_beside(tmp_path / "out.mp4") as theirs:
        there = {path.name for path in tmp_path.iterdir()}
        assert there == {path.name for path in others} | {
            name for one in (mine, theirs) for name in (one.name, f"{one.name}.lock")
        }
        assert list(mine.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in others}


def test_locks_go_with_their_holders_and_never_let_two_in(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "x.lock", [0], [0]

    def work(_: int) -> None:
        with file_lock(path):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.002)
            inside[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert most == [1]
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_takes_no_lock_away_from_anybody(settings: Settings) -> None:
    locks = settings.cache_dir / "locks"
    (settings.cache_dir / "scratch").mkdir(parents=True)
    inside, most, stop = [0], [0], threading.Event()

    def sweeping() -> None:
        while not stop.wait(0.001):
            sweep(settings.cache_dir)

    def work(_: int) -> None:
        with file_lock(locks / "unit.lock"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.005)
            assert (locks / "unit.lock").exists()
            inside[0] -= 1

    with ThreadPoolExecutor(6) as pool:
        sweepers = [pool.submit(sweeping) for _ in range(2)]
        try:
            list(pool.map(work, range(20)))
        finally:
            stop.set()
        for sweeper in sweepers:
            sweeper.result()
    assert most == [1]
    sweep(settings.cache_dir)
    assert list(locks.iterdir()) == []


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InternalError, match="belongs to somebody else"):
        private_folder(tmp_path / "link")


@pytest.mark.parametrize("key", ["a/b.mp4", "a b/中文#%+.mp4", "-x"])
def test_uris_are_read_as_they_are_written(key: str) -> None:
    assert parse_uri(object_uri("media", key)) == ("media", key)
    assert " " not in object_uri("media", key)
