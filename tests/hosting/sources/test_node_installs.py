"""Node projects installed for real, from a registry of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.bench import packages
from hosting.build_settings import BuildSettings
from hosting.builder import environment
from hosting.deadline import Deadline
from hosting.errors import BuildError
from hosting.sources.base import BuildContext
from hosting.sources.plan import Plan
from tests.hosting.sources.node_samples import planned, write
from tests.hosting.sources.npm_registry import Registry, serving

NPM_12 = "npm@12.2.2"
TOOL = "#!/usr/bin/env node\nrequire('fs').writeFileSync('made.js', 'console.log(\"made\")')\n"
PACKAGES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "odd": ({"name": "odd", "version": "1.0.0"}, {"index.js": "module.exports = 'odd'"}),
    "@acme/core": ({"name": "@acme/core", "version": "9.9.9"}, {"index.js": "module.exports = 'an attack'"}),
    "maker": ({"name": "maker", "version": "1.0.0", "bin": "make.js"}, {"make.js": TOOL}),
    "native": (
        {
            "name": "native",
            "version": "1.0.0",
            "scripts": {"install": "echo \"module.exports = 'built'\" > index.js"},
        },
        {},
    ),
}
# Stands for a manager: what it was called with is what it says.
FAKE = (
    "#!/usr/bin/env node\nconst v = '{version}'; process.argv[2] === '--version' ? console.log(v) : {does}\n"
)
Install = Callable[..., str]


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving(Registry(PACKAGES)) as running:
        yield running


@pytest.fixture
def installed(tmp_path: Path, registry: Registry) -> Install:
    """Installs a project's files as a process, and says what its server prints."""

    def installed(files: dict[str, Any], subdirectory: str = "", **settings: Any) -> str:
        plan = planned(tmp_path / "source", files, subdirectory)
        into = tmp_path / "env"
        command = _install(plan, tmp_path / "source", into, registry, **settings)
        env = {"PATH": os.pathsep.join([*map(str, environment.bin_directories(into)), os.environ["PATH"]])}
        done = subprocess.run(command, cwd=into / "app", env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return installed


def _install(plan: Plan, top: Path, into: Path, registry: Registry, **settings: Any) -> tuple[str, ...]:
    given = BuildSettings(**{"npm_registry": registry.url, "cache": into.parent / "cache", **settings})
    context = BuildContext(top, "r")
    return environment.install(
        plan, context, into, settings=given, deadline=Deadline.of(200), log=lambda _: None
    )


def test_a_part_of_a_workspace_is_never_asked_of_the_registry(installed: Install, registry: Registry) -> None:
    """Case B20: the registry has that name too, from somebody else."""
    server = {"name": "@acme/server", "bin": "index.js", "dependencies": {"@acme/core": "*", "odd": "1.0.0"}}
    tree = {
        "package.json": {"name": "root", "private": True, "workspaces": ["packages/*"]},
        "packages/server/package.json": server,
        "packages/server/index.js": "console.log(require('@acme/core'), require('odd'))",
        "packages/core/package.json": {"name": "@acme/core", "version": "1.0.0"},
        "packages/core/index.js": "module.exports = 'ours'",
    }

    assert installed(tree, "packages/server") == "ours odd"
    assert set(registry.asked) == {"odd"}


def test_a_directory_beside_is_never_asked_of_the_registry(installed: Install, registry: Registry) -> None:
    tree = {
        "server/package.json": {"name": "s", "bin": "x.js", "dependencies": {"@acme/core": "file:../core"}},
        "server/x.js": "console.log(require('@acme/core'))",
        "core/package.json": {"name": "@acme/core", "version": "1.0.0"},
        "core/index.js": "module.exports = 'ours'",
    }

    assert installed(tree, "server") == "ours"
    assert registry.asked == []


def test_prepare_of_the_root_is_left_out_and_native_modules_are_built(installed: Install) -> None:
    """Case B05."""
    package = {
        "name": "x",
        "bin": "x.js",
        "scripts": {"prepare": "a-tool-of-development"},
        "dependencies": {"native": "1.0.0"},
        "devDependencies": {"maker": "1.0.0"},
    }

    assert installed({"package.json": package, "x.js": "console.log(require('native'))"}) == "built"


@pytest.fixture
def npm_12(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The npm that runs no install script of its own accord, and the Node that it needs, first on PATH."""
    node, programs = Path(packages.newer_node()), tmp_path / "npm-12"
    script = packages.npm_packages(NPM_12) / "npm/bin/npm-cli.js"
    programs.mkdir()
    (programs / "node").symlink_to(node)
    (programs / "npm").write_text(f'#!/bin/sh\nexec {node} {script} "$@"\n')
    (programs / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.real
def test_a_newer_npm_builds_native_modules_of_projects_that_know_none_of_its_rules(
    npm_12: None, installed: Install
) -> None:
    package = {"name": "x", "bin": "x.js", "dependencies": {"native": "1.0.0"}}

    assert installed({"package.json": package, "x.js": "console.log(require('native'))"}) == "built"


@pytest.mark.real
@pytest.mark.parametrize(
    ("policy", "npmrc"), [({"allowScripts": {"native": False}}, ""), ({}, "strict-allow-scripts = false\n")]
)
def test_what_a_project_lets_npm_run_holds(
    npm_12: None, installed: Install, policy: dict[str, Any], npmrc: str
) -> None:
    package = {"name": "x", "bin": "x.js", "dependencies": {"native": "1.0.0"}, **policy}
    code = "console.log(require('fs').existsSync('node_modules/native/index.js'))"

    assert installed({"package.json": package, ".npmrc": npmrc, "x.js": code}) == "false"


def test_a_start_that_needs_a_development_dependency(installed: Install) -> None:
    """Case B16."""
    package = {"scripts": {"start": "maker && node made.js"}, "devDependencies": {"maker": "1.0.0"}}

    assert installed({"package.json": package, "made.js": ""}) == "made"


def test_what_is_built_is_kept_without_what_built_it(installed: Install, tmp_path: Path) -> None:
    package = {
        "name": "x",
        "main": "made.js",
        "scripts": {"build": "maker"},
        "devDependencies": {"maker": "1"},
    }

    assert installed({"package.json": package}) == "made"
    assert not (tmp_path / "env/app/node_modules/maker").exists()


def test_a_manager_comes_from_the_registry_of_the_settings(
    tmp_path: Path, registry: Registry, installed: Install
) -> None:
    """Case B06. It is kept by its version: the second installation asks for none."""
    does = "require('fs').writeFileSync('said', process.argv.slice(2).join(' '))"
    text = FAKE.replace("{version}", "9.15.0").replace("{does}", does)
    PNPM = ({"name": "pnpm", "version": "9.15.0", "bin": "pnpm.js"}, {"pnpm.js": text})
    package = {"name": "x", "bin": "x.js", "packageManager": "pnpm@9.15.0", "dependencies": {"odd": "1"}}
    files = {"package.json": package, "x.js": "console.log(require('fs').readFileSync('said', 'utf8'))"}
    with serving(Registry({**PACKAGES, "pnpm": PNPM})) as other:
        assert installed(files, npm_registry=other.url) == "install --no-frozen-lockfile --prod"
        assert other.asked == ["pnpm"]
    again = planned(tmp_path / "source", files)
    _install(again, tmp_path / "source", tmp_path / "env2", registry)

    assert registry.asked == []
    assert not list((tmp_path / "cache/tools/pnpm").glob(".new-*"))
    assert not (tmp_path / "env/tools").exists()


def test_a_manager_that_the_registry_does_not_have(installed: Install, tmp_path: Path) -> None:
    package = {"name": "x", "bin": "x.js", "packageManager": "pnpm@9.15.0", "dependencies": {"odd": "1"}}

    with pytest.raises(BuildError, match=r"The package registry has no pnpm@9\.15\.0"):
        installed({"package.json": package, "x.js": ""})
    assert list((tmp_path / "cache/tools/pnpm").iterdir()) == []


def test_a_node_that_cannot_be_had(installed: Install) -> None:
    package = {"name": "x", "bin": "x.js", "engines": {"node": ">=90"}}

    with pytest.raises(BuildError, match=r"asks for Node >=90; this machine has \d+\.\d+") as caught:
        installed({"package.json": package, "x.js": ""})
    assert "another version of Node" in caught.value.hint


def test_a_lock_out_of_step_is_told_by_name(installed: Install) -> None:
    lock = {
        "name": "x",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "packages": {"": {"name": "x", "version": "1.0.0"}},
    }
    package = {"name": "x", "version": "1.0.0", "bin": "x.js", "dependencies": {"odd": "1.0.0"}}

    with pytest.raises(BuildError, match=r"out of step with package\.json \(Missing: odd@1\.0\.0") as caught:
        installed({"package.json": package, "package-lock.json": lock, "x.js": ""})
    assert "Run npm install" in caught.value.hint
    assert "--omit" not in caught.value.message


def test_a_package_that_the_registry_does_not_have(installed: Install) -> None:
    package = {"name": "x", "bin": "x.js", "dependencies": {"@acme/private": "1.0.0"}}

    with pytest.raises(BuildError, match=r"The package registry has no @acme/private"):
        installed({"package.json": package, "x.js": ""})


def test_what_no_script_makes(installed: Install) -> None:
    with pytest.raises(BuildError, match=r"What is started, dist/x\.js, is not there"):
        installed({"package.json": {"name": "x", "bin": "dist/x.js"}})


def test_a_step_sees_the_programs_of_the_project_first(tmp_path: Path, registry: Registry) -> None:
    source = write(
        tmp_path / "source", {"package.json": json.dumps({"name": "x", "bin": "x.js"}), "x.js": ""}
    )
    plan = planned(source, {}, build="printenv PATH > seen")

    _install(plan, source, tmp_path / "env", registry)

    assert (tmp_path / "env/app/seen").read_text().startswith(str(tmp_path / "env/app/node_modules/.bin"))
