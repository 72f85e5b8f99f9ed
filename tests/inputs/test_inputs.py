from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hosting.build_settings import BuildSettings
from hosting.builder import environment
from hosting.builder.base import ImageBuild
from hosting.builder.buildkit import Builder
from hosting.builder.context import prepare
from hosting.deadline import Deadline
from hosting.errors import SourceError
from tests.inputs import museum
from tests.inputs.museum import Kind

KINDS = museum.kinds()


def named(kinds: list[Kind]) -> list[object]:
    return [pytest.param(kind, id=kind.name) for kind in kinds]


@pytest.mark.parametrize("kind", named([kind for kind in KINDS if "refused" not in kind.told]))
def test_the_plan(kind: Kind, tmp_path: Path) -> None:
    context = kind.laid_out(tmp_path / "source")

    plan = kind.plan(context, images=kind.told.get("images", False))

    expected = dict(kind.expected)
    sentences = " ".join(plan.why)
    assert [word for word in expected.pop("why", []) if word not in sentences] == []
    found = {name: getattr(plan, name) for name in expected}
    assert {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()} == expected


@pytest.mark.parametrize("kind", named([kind for kind in KINDS if "refused" in kind.told]))
def test_what_is_refused(kind: Kind, tmp_path: Path) -> None:
    context = kind.laid_out(tmp_path / "source")

    with pytest.raises(SourceError, match=kind.told["refused"]):
        kind.plan(context, images=kind.told.get("images", False))


@pytest.mark.real
@pytest.mark.parametrize("kind", named([kind for kind in KINDS if kind.start is not None]))
def test_it_runs_as_a_process(kind: Kind, tmp_path: Path, installs: Path) -> None:
    assert kind.start is not None
    context, into = kind.laid_out(tmp_path / "source"), tmp_path / "run"
    settings = BuildSettings(cache=installs)

    command = environment.install(
        kind.plan(context, images=False),
        context,
        into,
        settings=settings,
        deadline=Deadline.of(300),
        log=print,
    )

    wanted = dict(kind.start["installed"])
    path = [*map(str, environment.bin_directories(into)), os.environ["PATH"]]
    done = subprocess.run(
        command,
        cwd=into / "app",
        env={"PATH": os.pathsep.join(path)},
        input=museum.conversation(list(wanted)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout, done.stderr
    assert {**museum.installed(done.stdout), **wanted} == museum.installed(done.stdout)


@pytest.mark.real
@pytest.mark.parametrize("kind", named([kind for kind in KINDS if (kind.start or {}).get("docker")]))
def test_it_runs_as_an_image(kind: Kind, tmp_path: Path, builder: Builder, settings: BuildSettings) -> None:
    assert kind.start is not None
    context = kind.laid_out(tmp_path / "source")
    prepared = prepare(
        context,
        kind.plan(context, images=True),
        tmp_path / "build",
        transport="streamable-http",  # no bridge around it: its own stdin is spoken to
        settings=settings,
        bridge=tmp_path,
    )
    tag = f"mcphost-museum/{kind.name}:test"
    spec = ImageBuild(prepared.context, prepared.dockerfile, "linux/amd64", tag)

    builder.build(spec, settings, deadline=Deadline.of(600), on_line=print)

    wanted = dict(kind.start["installed"])
    run = [builder.cli, "--host", settings.docker_host, "run", "--rm", "--interactive", tag]
    asked = museum.conversation(list(wanted))
    done = subprocess.run(run, input=asked, capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    assert {**museum.installed(done.stdout), **wanted} == museum.installed(done.stdout)
