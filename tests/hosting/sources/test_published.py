"""What an archive of a Python package tells, and which release is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosting.deadline import Deadline
from hosting.sources import published, releases
from hosting.sources.package_index import File
from hosting.sources.published import Published
from tests.security import evil

BACKEND = '[build-system]\nrequires = ["flit"]\n'
PROJECT = BACKEND + '[project]\nname = "my-server"\n'
ENTRY_POINTS = """
[gui_scripts]
window = a:b

[console_scripts]
# a note = of theirs
run = a:b
stop=a:c [extra]
"""


def source(tmp_path: Path, files: evil.Files) -> Published:
    path = tmp_path / "package"
    path.write_bytes(evil.tar_gz({f"my_server-1.0/{name}": text for name, text in files.items()}))
    return published.read(path, "My-Server", Deadline.of(30))


def test_the_table_of_scripts(tmp_path: Path) -> None:
    text = PROJECT + '[project.scripts]\nrun = "a:b"\nstop = "a:c"\n'
    assert source(tmp_path, {"pyproject.toml": text}).scripts == ("run", "stop")


def test_a_project_without_scripts_has_none(tmp_path: Path) -> None:
    assert source(tmp_path, {"pyproject.toml": PROJECT + 'dynamic = ["version"]\n'}).scripts == ()


@pytest.mark.parametrize("dynamic", ["scripts", "entry-points"])
def test_scripts_that_only_the_build_would_tell(tmp_path: Path, dynamic: str) -> None:
    files = {"pyproject.toml": f'{PROJECT}dynamic = ["{dynamic}"]\n'}
    assert source(tmp_path, files).scripts is None
    files |= {"my_server.egg-info/PKG-INFO": "", "my_server.egg-info/entry_points.txt": ENTRY_POINTS}
    assert source(tmp_path, files).scripts == ("run", "stop")


def test_what_setuptools_wrote_down(tmp_path: Path) -> None:
    files = {"src/my_server.egg-info/PKG-INFO": "", "setup.py": "raise SystemExit"}
    assert source(tmp_path, files).scripts == ()
    files["src/my_server.egg-info/entry_points.txt"] = ENTRY_POINTS
    assert source(tmp_path, files).scripts == ("run", "stop")


def test_poetrys_own_table(tmp_path: Path) -> None:
    text = BACKEND + '[tool.poetry]\nname = "my-server"\n[tool.poetry.scripts]\nrun = "a:b"\n'
    assert source(tmp_path, {"pyproject.toml": text}).scripts == ("run",)


def test_a_source_that_says_nothing(tmp_path: Path) -> None:
    assert source(tmp_path, {"setup.py": "raise SystemExit"}).scripts is None


@pytest.mark.parametrize("folder", ["my_server", "src/my_server"])
def test_a_module_that_can_be_started(tmp_path: Path, folder: str) -> None:
    assert source(tmp_path, {f"{folder}/__main__.py": "raise SystemExit"}).module == "my_server"


def test_the_summary_is_that_of_the_package(tmp_path: Path) -> None:
    text = "Metadata-Version: 2.1\nName: my-server\nSummary: Serves\n\nText\n"
    assert source(tmp_path, {"PKG-INFO": text}).summary == "Serves"


def file(name: str, **more: object) -> File:
    return File(name, f"https://h/{name}", **more)  # type: ignore[arg-type]


FILES = [
    file("my_server-1.0.tar.gz"),
    file("my_server-1.1-py3-none-any.whl", size=900),
    file("my_server-1.1-cp311-cp311-manylinux_2_28_x86_64.whl", size=100),
    file("my_server-1.1.tar.gz", size=1),
    file("my_server-1.2.tar.gz", yanked=True),
    file("my_server-1.3.tar.gz", requires_python=">=99"),
    file("my_server-1.4-cp311-cp311-win_amd64.whl"),
    file("my_server-2.0rc1.tar.gz"),
    file("other-3.0.tar.gz"),
    file("my_server-3.0.exe"),
    file("my_server-nonsense.tar.gz"),
]


@pytest.mark.parametrize(
    ("version", "chosen"),
    [
        ("", "my_server-1.1-cp311-cp311-manylinux_2_28_x86_64.whl"),
        ("1", "my_server-1.0.tar.gz"),
        ("1.2", "my_server-1.2.tar.gz"),
        ("1.3", "my_server-1.3.tar.gz"),
        ("1.4", "my_server-1.4-cp311-cp311-win_amd64.whl"),
        ("2.0rc1", "my_server-2.0rc1.tar.gz"),
    ],
)
def test_the_release_that_is_meant_and_the_file_that_tells_of_it(version: str, chosen: str) -> None:
    release = releases.choose(FILES, "My.Server", version, ("3.11",))
    assert release is not None
    assert release.best.name == chosen


def test_a_release_that_is_not_there() -> None:
    assert releases.choose(FILES, "my-server", "9") is None
    assert releases.choose([], "my-server", "") is None


def test_where_there_is_no_other_an_early_release_serves() -> None:
    release = releases.choose([file("my_server-2.0rc1.tar.gz")], "my-server", "")
    assert release is not None
    assert str(release.version) == "2.0rc1"
