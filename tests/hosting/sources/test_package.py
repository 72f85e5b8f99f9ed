from __future__ import annotations

import json
from pathlib import Path

import pytest

from hosting.build_settings import BuildSettings
from hosting.deadline import Deadline
from hosting.errors import SourceError
from hosting.sources.base import BuildContext
from hosting.sources.package import PackageSource
from hosting.sources.recognise import recognise


def fetch(source: PackageSource, into: Path) -> BuildContext:
    return source.fetch(into, deadline=Deadline.of(120), log=lambda _: None)


@pytest.mark.parametrize(
    "name", ["", "-x", "--index-url=x", "a b", "a;b", "a==1", "../x", "git+https://h/x", "a[b]", "x\n"]
)
def test_names_that_pypi_does_not_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not the name of a package on pypi"):
        fetch(PackageSource("pypi", name), tmp_path)


@pytest.mark.parametrize(
    "name", ["", "-x", "--registry=x", "A", "a b", "a@1", "../x", "@x", "@x/y/z", "file:x", "x\n"]
)
def test_names_that_npm_does_not_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not the name of a package on npm"):
        fetch(PackageSource("npm", name), tmp_path)


@pytest.mark.parametrize("version", ["-1", "latest", "1 --pre", ">=1", "1,2", "1\n"])
def test_versions_that_pypi_does_not_know(version: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a version"):
        fetch(PackageSource("pypi", "x", version), tmp_path)


@pytest.mark.parametrize("version", ["-1", "1 || 2", ">=1", "1;2", "file:x", "1\n"])
def test_versions_that_npm_does_not_know(version: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a version"):
        fetch(PackageSource("npm", "x", version), tmp_path)


@pytest.mark.parametrize("ecosystem", ["pypi", "npm"])
def test_an_index_that_is_away(ecosystem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    away = "http://user:topsecret@127.0.0.1:9/simple"
    settings = BuildSettings(pip_index_url=away, npm_registry=away)

    with pytest.raises(SourceError, match=r"index .* cannot be reached") as caught:
        fetch(PackageSource(ecosystem, "some-server", settings=settings), tmp_path)  # type: ignore[arg-type]

    assert not caught.value.permanent
    assert "topsecret" not in f"{caught.value} {caught.value.details}"


def test_npm_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SourceError, match="npm is not installed"):
        fetch(PackageSource("npm", "x"), tmp_path)


@pytest.mark.real
def test_the_newest_version_from_pypi_is_pinned(tmp_path: Path) -> None:
    context = fetch(PackageSource("pypi", "mcp-server-time", arguments=("--local-timezone", "UTC")), tmp_path)

    name, _, version = context.revision.partition("==")
    assert name == "mcp-server-time"
    assert version
    assert (tmp_path / "requirements.txt").read_text() == f"{context.revision}\n"
    plan = recognise(context, images=True)
    assert plan.command == ("mcp-server-time", "--local-timezone", "UTC")


@pytest.mark.real
def test_the_newest_version_from_npm_is_pinned(tmp_path: Path) -> None:
    context = fetch(PackageSource("npm", "@modelcontextprotocol/server-everything"), tmp_path)

    name, _, version = context.revision.partition("==")
    dependencies = json.loads((tmp_path / "package.json").read_text())["dependencies"]
    assert dependencies == {name: version}
    assert recognise(context, images=True).command == ("mcp-server-everything",)


@pytest.mark.real
def test_a_command_of_one_s_own(tmp_path: Path) -> None:
    source = PackageSource(
        "npm", "@modelcontextprotocol/server-everything", command="node 'x y.js'", arguments=("-v",)
    )

    assert fetch(source, tmp_path).command == ("node", "x y.js", "-v")


@pytest.mark.real
def test_several_commands_are_listed(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"the package twisted has .*trial, twist, twistd") as caught:
        fetch(PackageSource("pypi", "twisted"), tmp_path)
    assert "Set the command" in caught.value.hint


@pytest.mark.real
def test_a_package_without_a_command(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="brings no command"):
        fetch(PackageSource("pypi", "attrs"), tmp_path)


@pytest.mark.real
@pytest.mark.parametrize(
    ("ecosystem", "name"), [("pypi", "mcp-server-time"), ("npm", "@modelcontextprotocol/server-everything")]
)
def test_a_version_that_does_not_exist(ecosystem: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"{ecosystem} has no package {name} 99.0.0"):
        fetch(PackageSource(ecosystem, name, "99.0.0"), tmp_path)  # type: ignore[arg-type]
