"""Versions out of tags, as setuptools-scm and its kin would say them of a whole clone."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.version import Version

from hosting.sources.git_versions import Tags, is_asked_for

HEAD, OLD, TAG = "a" * 40, "b" * 40, "c" * 40


def version(*lines: str, ref: str = "", subdirectory: str = "") -> str:
    tags = Tags(HEAD, ref, subdirectory)
    for line in lines:
        tags.take(line)
    found = tags.version()
    assert str(Version(found)) == found, "it is written as packaging writes it"
    return found


def at(commit: str, *names: str) -> list[str]:
    return [f"{commit}\trefs/tags/{name}" for name in names]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["v1.2.3"], "1.2.3"),
        (["1.2.3"], "1.2.3"),
        (["V2.0rc1"], "2.0rc1"),
        (["release-1.4"], "1.4"),
        (["v1.2.0-rc.1"], "1.2.0rc1"),
        (["nightly", "latest", "v1.0"], "1.0"),
        (["v1.9", "v1.10"], "1.10"),
        (["2024.1.15"], "2024.1.15"),
        (["2024-01-15", "v1.0"], "1.0"),
        (["1!2.0"], "1!2.0"),
    ],
)
def test_a_commit_that_a_tag_names(names: list[str], expected: str) -> None:
    assert version(*at(HEAD, *names), *at(OLD, "v9.9")) == expected


def test_an_annotated_tag_names_what_it_is_peeled_to() -> None:
    lines = [f"{TAG}\trefs/tags/v1.2.3", f"{HEAD}\trefs/tags/v1.2.3^{{}}"]
    assert version(*lines) == "1.2.3"


@pytest.mark.parametrize("ref", ["v1.0", "refs/tags/v1.0"])
def test_of_two_tags_at_one_commit_the_one_that_was_asked_for(ref: str) -> None:
    assert version(*at(HEAD, "v1.0", "v1.1"), ref=ref) == "1.0"
    assert version(*at(HEAD, "v1.0", "v1.1"), ref="main") == "1.1"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["v1.2.3", "v1.2.2"], "1.2.4.dev0+gaaaaaaa"),
        (["v2.0rc1", "v1.9"], "2.0rc2.dev0+gaaaaaaa"),
        (["v1.0.post1"], "1.0.post2.dev0+gaaaaaaa"),
        (["v1.0.dev3"], "1.0.dev0+gaaaaaaa"),
        (["v1.0+local.7"], "1.1.dev0+gaaaaaaa"),
        (["v3"], "4.dev0+gaaaaaaa"),
        (["nightly"], "0.1.dev0+gaaaaaaa"),
        ([], "0.1.dev0+gaaaaaaa"),
    ],
)
def test_a_commit_on_the_way_to_the_next(names: list[str], expected: str) -> None:
    assert version(*at(OLD, *names)) == expected


def test_tags_of_a_repository_of_many_packages() -> None:
    lines = at(OLD, "core-v3.0", "servers/time-v1.4.0", "time@1.5.0", "v0.9", "python-3-sdk-7.0")

    assert version(*lines, subdirectory="servers/time") == "1.5.1.dev0+gaaaaaaa"
    assert version(*lines, subdirectory="servers/other") == "0.10.dev0+gaaaaaaa"
    assert version(*lines) == "0.10.dev0+gaaaaaaa"
    assert version(*at(OLD, "core-v3.0")) == "3.1.dev0+gaaaaaaa"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "warning: redirecting",
        "x\trefs/tags/v1",
        f"{HEAD}\trefs/heads/v1",
        f"{HEAD}\trefs/tags/v" + "1" * 9000,
    ],
)
def test_lines_that_name_no_version(line: str) -> None:
    assert version(line) == "0.1.dev0+gaaaaaaa"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", '[build-system]\nrequires = ["setuptools", "setuptools-scm>=8"]\n'),
        ("pyproject.toml", '[build-system]\nrequires = ["hatchling", "hatch-vcs"]\n'),
        ("pyproject.toml", "[tool.pdm.version]\nsource = 'scm'\n"),
        ("pyproject.toml", '[tool.hatch.version]\nsource="vcs"\n'),
        ("pyproject.toml", '[build-system]\nrequires = ["poetry-core", "poetry-dynamic-versioning"]\n'),
        ("pyproject.toml", '[build-system]\nrequires = ["hatchling", "uv-dynamic-versioning"]\n'),
        ("setup.cfg", "[options]\nsetup_requires = setuptools_scm\n"),
        ("setup.py", "from setuptools import setup\nimport versioneer\n"),
        ("setup.py", "setup(setup_requires=['pbr'], pbr=True)\n"),
    ],
)
def test_projects_that_ask_git(tmp_path: Path, name: str, text: str) -> None:
    server = tmp_path / "packages" / "server"
    server.mkdir(parents=True)
    (server / name).write_text(text)

    assert is_asked_for(server, tmp_path)
    assert is_asked_for(tmp_path, tmp_path) is (name == "pyproject.toml"), "a member may be what it needs"


def test_projects_that_do_not(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    (tmp_path / "setup.py").symlink_to("/etc/passwd")

    assert not is_asked_for(tmp_path, tmp_path)
