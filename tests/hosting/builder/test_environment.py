from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from hosting.build_settings import BuildSettings
from hosting.builder import environment
from hosting.deadline import Deadline
from hosting.errors import BuildError, Cancelled, TimedOut
from hosting.sources.base import BuildContext
from hosting.sources.package import PackageSource
from hosting.sources.plan import Plan
from hosting.sources.recognise import recognise
from tests.hosting.builder.small_disk import small_disk
from tests.hosting.runtimes.programs import has_ended

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    return path


def install(source: Path, into: Path, plan: Plan | None = None, **settings: object) -> tuple[str, ...]:
    context = BuildContext(source, "r")
    return environment.install(
        plan or recognise(context, images=False),
        context,
        into,
        settings=BuildSettings(**settings),  # type: ignore[arg-type]
        deadline=Deadline.of(200),
        log=lambda _: None,
    )


def said_by(command: tuple[str, ...], into: Path) -> str:
    env = {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=into / "app", env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_python_without_dependencies_needs_no_network(source: Path, tmp_path: Path) -> None:
    (source / "server.py").write_text("import sys; print(sys.prefix)\n")
    (source / "requirements.txt").write_text("# nothing\n")
    (source / ".git").mkdir()
    into = tmp_path / "env"

    command = install(source, into)

    assert command == (str(into / "venv/bin/python"), "server.py")
    assert said_by(command, into) == str(into / "venv")
    assert {path.name for path in into.iterdir()} == {"app", "venv"}
    assert {path.name for path in (into / "app").iterdir()} == {"server.py", "requirements.txt"}


def test_node_without_dependencies_needs_no_network(source: Path, tmp_path: Path) -> None:
    (source / "package.json").write_text(json.dumps({"name": "x", "main": "x.js"}))
    (source / "x.js").write_text("console.log(process.argv[1])\n")
    into = tmp_path / "env"

    command = install(source, into)

    assert said_by(command, into) == str(into / "app/x.js")


def test_node_is_built_with_what_the_build_needs(source: Path, tmp_path: Path) -> None:
    package = {"name": "x", "bin": "dist/x.js", "scripts": {"build": "mkdir dist && cp x.js dist/"}}
    (source / "package.json").write_text(json.dumps(package))
    (source / "x.js").write_text("console.log('built')\n")
    into = tmp_path / "env"

    assert said_by(install(source, into), into) == "built"


def test_installs_see_nothing_of_the_platform(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "ours")
    package = {"name": "x", "main": "x.js", "scripts": {"build": "env > seen && touch x.js"}}
    (source / "package.json").write_text(json.dumps(package))
    into = tmp_path / "env"

    install(source, into)

    seen = (into / "app/seen").read_text()
    assert "ours" not in seen
    assert f"HOME={into / 'home'}" in seen


def test_a_command_that_is_not_there_lists_what_is(source: Path, tmp_path: Path) -> None:
    bins = source / "node_modules/.bin"
    bins.mkdir(parents=True)
    (bins / "serve-time").touch()
    plan = Plan("node", ("serve-tmie",))

    with pytest.raises(BuildError, match="command serve-tmie is not there") as caught:
        install(source, tmp_path / "env", plan)
    assert caught.value.hint == "There are: serve-time."


def test_a_script_of_the_source_itself(source: Path, tmp_path: Path) -> None:
    (source / "bin").mkdir()
    (source / "bin/run").write_text("#!/bin/sh\necho hello\n")
    (source / "bin/run").chmod(0o755)
    into = tmp_path / "env"

    command = install(source, into, Plan("python", ("bin/run",)))

    assert said_by(command, into) == "hello"


def test_an_install_that_fails_shows_its_last_lines(source: Path, tmp_path: Path) -> None:
    package = {"name": "x", "main": "x.js", "scripts": {"build": "echo the reason; exit 7"}}
    (source / "package.json").write_text(json.dumps(package))

    with pytest.raises(BuildError, match="npm run build ended with exit code") as caught:
        install(source, tmp_path / "env")
    assert "the reason" in caught.value.message


def test_a_python_that_this_machine_does_not_have(source: Path, tmp_path: Path) -> None:
    (source / "pyproject.toml").write_text('[project]\nname = "x"\nrequires-python = ">=3.99"\n')
    (source / "server.py").touch()

    with pytest.raises(BuildError, match=r"asks for Python >=3\.99; this machine has 3\.") as caught:
        install(source, tmp_path / "env", python_downloads=False)
    assert "set PYTHON_DOWNLOADS=true" in caught.value.hint


def test_a_machine_without_node(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / "package.json").write_text('{"main": "x.js"}')
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BuildError, match="node is not installed"):
        install(source, tmp_path / "env")


def test_a_hanging_install_ends_with_its_whole_group(source: Path, tmp_path: Path) -> None:
    package = {"name": "x", "main": "x.js", "scripts": {"build": "echo $$ > pid; sleep 600"}}
    (source / "package.json").write_text(json.dumps(package))
    pid = tmp_path / "env/app/pid"

    def cancelled() -> bool:
        return pid.exists() and bool(pid.read_text())

    context = BuildContext(source, "r")
    with pytest.raises(Cancelled):
        environment.install(
            recognise(context, images=False),
            context,
            tmp_path / "env",
            settings=BuildSettings(),
            deadline=Deadline.of(60, cancelled),
            log=lambda _: None,
        )
    assert has_ended(int(pid.read_text()))


def test_the_settings_limit_the_time(source: Path, tmp_path: Path) -> None:
    (source / "server.py").touch()

    with pytest.raises(TimedOut, match="The installation took longer"):
        install(source, tmp_path / "env", timeout=0.0)


@pytest.mark.real
def test_a_full_disk(source: Path, tmp_path: Path) -> None:
    (source / "server.py").touch()

    with small_disk(tmp_path / "disk", "32k") as disk, pytest.raises(BuildError, match="disk filled up"):
        install(source, disk / "env", cache=tmp_path / "cache")


@pytest.mark.real
@pytest.mark.parametrize(
    ("ecosystem", "name"), [("pypi", "mcp-server-time"), ("npm", "@modelcontextprotocol/server-everything")]
)
def test_published_servers_install_and_start(ecosystem: str, name: str, tmp_path: Path) -> None:
    settings = BuildSettings(cache=tmp_path / "cache")
    source = PackageSource(ecosystem, name, settings=settings)  # type: ignore[arg-type]
    context = source.fetch(tmp_path / "source", deadline=Deadline.of(120), log=lambda _: None)

    command = environment.install(
        recognise(context, images=False),
        context,
        tmp_path / "env",
        settings=settings,
        deadline=Deadline.of(300),
        log=lambda _: None,
    )

    done = subprocess.run(
        command, input=json.dumps(INITIALIZE) + "\n", capture_output=True, text=True, timeout=120
    )
    answer = json.loads(done.stdout.splitlines()[0])
    assert answer["result"]["serverInfo"]["name"]
    assert (tmp_path / "cache" / ("uv" if ecosystem == "pypi" else "npm")).is_dir()


@pytest.mark.real
def test_a_project_with_dependencies_installs_itself(source: Path, tmp_path: Path) -> None:
    (source / "pyproject.toml").write_text(
        '[project]\nname = "hello-mcp"\nversion = "1"\ndependencies = ["idna"]\n'
        '[project.scripts]\nhello = "hello:main"\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    )
    (source / "hello.py").write_text("import idna\ndef main(): print('hello', bool(idna))\n")
    into = tmp_path / "env"

    assert said_by(install(source, into, cache=tmp_path / "cache"), into) == "hello True"


@pytest.mark.real
def test_a_package_that_does_not_exist(source: Path, tmp_path: Path) -> None:
    (source / "requirements.txt").write_text("mcp-server-time==99.0\n")
    (source / "main.py").touch()

    with pytest.raises(BuildError, match=r"mcp-server-time==99\.0"):
        install(source, tmp_path / "env", cache=tmp_path / "cache")
