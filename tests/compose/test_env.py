"""The script that makes .env."""

from __future__ import annotations

import subprocess
import sys
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from include.compose.env import complete, main
from tests.compose.files import EXAMPLE, ROOT, example


def parsed(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def test_a_new_file_has_every_variable_and_secrets_that_differ() -> None:
    made = parsed(complete(EXAMPLE.read_text()))
    assert set(made) == set(example())
    generated = [made[name] for name, value in example().items() if value == "generate" and name != "DOCKER_GID"]
    assert len(set(generated)) == len(generated)
    assert all(len(value) >= 20 for value in generated)
    assert "generate" not in made.values()
    assert len(urlsafe_b64decode(made["AIRFLOW_FERNET_KEY"])) == 32
    assert made["DOCKER_GID"].isdigit()


def test_no_value_means_more_to_a_shell_a_url_or_compose() -> None:
    for value in parsed(complete(EXAMPLE.read_text())).values():
        assert not set(value) & set("$'\"@#% \\")


def test_two_files_share_no_secret() -> None:
    one, other = (parsed(complete(EXAMPLE.read_text())) for _ in range(2))
    secret = [name for name, value in example().items() if value == "generate" and name != "DOCKER_GID"]
    assert not [name for name in secret if one[name] == other[name]]


def test_what_is_there_stays_and_what_is_new_is_added() -> None:
    before = "# mine\nPOSTGRES_PASSWORD=kept\nMEDIA_CHUNK_SECONDS=60"
    after = complete(EXAMPLE.read_text(), before)
    assert after.startswith(before + "\n")
    made = parsed(after)
    assert made["POSTGRES_PASSWORD"] == "kept"
    assert made["MEDIA_CHUNK_SECONDS"] == "60"
    assert set(example()) <= set(made)
    assert complete(EXAMPLE.read_text(), after) == after


def test_the_file_is_its_owners_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ".env"
    assert main([str(path)]) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    first = path.read_text()
    assert main([str(path)]) == 0
    assert path.read_text() == first
    told = capsys.readouterr().out
    assert not [value for value in parsed(first).values() if len(value) >= 20 and value in told]


def test_it_runs_where_nothing_is_installed(tmp_path: Path) -> None:
    # -S and -I: no site-packages, no environment; as with the Python of a host that has never seen this repository.
    script = "import sys; sys.path.insert(0, sys.argv[1]); from include.compose.env import main; sys.exit(main([sys.argv[2]]))"
    command = [sys.executable, "-S", "-I", "-c", script, str(ROOT), str(tmp_path / ".env")]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
    assert (tmp_path / ".env").exists()


def test_git_never_sees_it() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
