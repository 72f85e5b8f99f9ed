from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hosting.build_settings import BuildSettings
from hosting.builder.context import prepare, prepare_wrapper
from hosting.errors import BuildError
from hosting.sources.base import BuildContext
from hosting.sources.plan import Plan, Step
from tests.hosting.builder.small_disk import small_disk

PYTHON = Plan("python", ("python", "server.py"))


@pytest.fixture
def bridge(tmp_path: Path) -> Path:
    path = tmp_path / "bridge"
    path.mkdir()
    (path / "__main__.py").write_text("pass\n")
    return path


@pytest.fixture
def source(tmp_path: Path) -> BuildContext:
    path = tmp_path / "source"
    (path / ".git").mkdir(parents=True)
    (path / "server.py").write_text("pass\n")
    return BuildContext(path, "r")


def test_the_user_s_tree_goes_below_app(source: BuildContext, bridge: Path, tmp_path: Path) -> None:
    (source.path / "server.py").chmod(0o600)
    (source.path / "link").symlink_to("/etc/hostname")

    prepared = prepare(
        source, PYTHON, tmp_path / "build", transport="stdio", settings=BuildSettings(), bridge=bridge
    )

    found = {path.relative_to(prepared.context).as_posix() for path in prepared.context.rglob("*")}
    assert found == {
        "Dockerfile",
        ".dockerignore",
        "app",
        "app/server.py",
        "app/link",
        "bridge",
        "bridge/__main__.py",
    }
    assert stat.S_IMODE((prepared.context / "app/server.py").stat().st_mode) == 0o644
    assert (prepared.context / "app/link").is_symlink()
    assert prepared.dockerfile == prepared.context / "Dockerfile"


def test_a_source_s_own_dockerfile_is_built_as_it_is(
    source: BuildContext, bridge: Path, tmp_path: Path
) -> None:
    plan = Plan("dockerfile", dockerfile="Dockerfile")

    prepared = prepare(
        source, plan, tmp_path / "build", transport="stdio", settings=BuildSettings(), bridge=bridge
    )

    assert (prepared.context, prepared.dockerfile) == (source.path, source.path / "Dockerfile")
    assert not (tmp_path / "build").exists()


def test_the_user_s_dockerignore_still_applies(source: BuildContext, bridge: Path, tmp_path: Path) -> None:
    (source.path / ".dockerignore").write_text("# data\n/data\n*.log\n\n!keep.log\n! ./x\n")

    prepared = prepare(
        source,
        PYTHON,
        tmp_path / "build",
        transport="streamable-http",
        settings=BuildSettings(),
        bridge=bridge,
    )

    lines = (prepared.context / ".dockerignore").read_text().splitlines()
    assert "app/.git" in lines
    assert lines[-4:] == ["app/data", "app/*.log", "!app/keep.log", "!app/x"]


def test_what_steps_find_beside_the_source(source: BuildContext, bridge: Path, tmp_path: Path) -> None:
    step = Step("install", ("uv", "pip", "install", "-r", "../plan/locked.txt"), "Installing", early=True)
    plan = Plan("python", ("x",), steps=(step,), beside={"locked.txt": "mcp==1.0\n"})

    prepared = prepare(
        source, plan, tmp_path / "build", transport="stdio", settings=BuildSettings(), bridge=bridge
    )

    assert (prepared.context / "plan/locked.txt").read_text() == "mcp==1.0\n"


def test_a_part_of_a_larger_source(source: BuildContext, bridge: Path, tmp_path: Path) -> None:
    (source.path / "packages/a").mkdir(parents=True)
    (source.path / "packages/a/server.py").touch()
    plan = Plan("python", ("python", "server.py"), root="packages", member="a")

    prepared = prepare(
        source, plan, tmp_path / "build", transport="stdio", settings=BuildSettings(), bridge=bridge
    )

    assert (prepared.context / "app/a/server.py").is_file()
    assert "WORKDIR /app/a" in prepared.dockerfile.read_text().splitlines()


def test_a_wrapper_s_directory(bridge: Path, tmp_path: Path) -> None:
    prepared = prepare_wrapper(
        "local/x:1", (), ("serve",), tmp_path / "build", settings=BuildSettings(), bridge=bridge
    )

    assert "\nFROM local/x:1\n" in prepared.dockerfile.read_text()
    assert {path.name for path in prepared.context.iterdir()} == {"Dockerfile", "bridge", "portable.py"}


@pytest.mark.real
def test_a_full_disk(source: BuildContext, bridge: Path, tmp_path: Path) -> None:
    (source.path / "large").write_bytes(bytes(1 << 20))

    with small_disk(tmp_path / "disk") as disk, pytest.raises(BuildError, match="disk filled up") as caught:
        prepare(source, PYTHON, disk / "build", transport="stdio", settings=BuildSettings(), bridge=bridge)
    assert "Free some space" in caught.value.hint
