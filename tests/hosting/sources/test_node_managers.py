from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hosting.errors import SourceError
from hosting.sources.plan import Tool
from tests.hosting.sources.node_samples import planned, words

PACKAGE = {"name": "notes-mcp", "bin": "index.js", "dependencies": {"is-number": "7.0.0"}}
PNPM = "lockfileVersion: '9.0'\nimporters:\n  .: {}\n"
BERRY = "__metadata:\n  version: 8\n"
CLASSIC = "# yarn lockfile v1\n"


@pytest.mark.parametrize(
    ("files", "more", "tools", "install"),
    [
        ({"package-lock.json": {}}, {}, (Tool("npm"),), "npm ci --omit=dev"),
        ({"npm-shrinkwrap.json": {}}, {}, (Tool("npm"),), "npm ci --omit=dev"),
        ({}, {}, (Tool("npm"),), "npm install --no-package-lock --omit=dev"),
        (
            {"pnpm-lock.yaml": PNPM},
            {},
            (Tool("pnpm", "9.15.9"),),
            "pnpm install --frozen-lockfile --prod",
        ),
        (
            {"pnpm-lock.yaml": PNPM.replace("9.0", "6.0")},
            {},
            (Tool("pnpm", "8.15.9"),),
            "pnpm install --frozen-lockfile --prod",
        ),
        (
            {"pnpm-lock.yaml": PNPM, "pnpm-workspace.yaml": "onlyBuiltDependencies: [esbuild]\n"},
            {},
            (Tool("pnpm", "10.34.9"),),
            "pnpm install --frozen-lockfile --prod",
        ),
        (
            {"pnpm-lock.yaml": PNPM},
            {"packageManager": "pnpm@9.1.0+sha512.67f5879916a9293e5cf059c23853d5"},
            (Tool("pnpm", "9.1.0"),),
            "pnpm install --frozen-lockfile --prod",
        ),
        (
            {},
            {"devEngines": {"packageManager": {"name": "pnpm", "version": "^10"}}},
            (Tool("pnpm", "10.34.9"),),
            "pnpm install --no-frozen-lockfile --prod",
        ),
        (
            {},
            {"scripts": {"preinstall": "npx only-allow pnpm"}},
            (Tool("pnpm", "9.15.9"),),
            "pnpm install --no-frozen-lockfile --prod",
        ),
        (
            {"yarn.lock": CLASSIC},
            {},
            (Tool("yarn", "1.22.22"),),
            "yarn install --frozen-lockfile --non-interactive --production=true",
        ),
        ({"yarn.lock": BERRY}, {}, (Tool("yarn", "4.12.0"),), "yarn install --immutable"),
        (
            {"yarn.lock": BERRY.replace("8", "6")},
            {},
            (Tool("yarn", "3.8.7"),),
            "yarn install --immutable",
        ),
        (
            {"yarn.lock": BERRY, ".yarnrc.yml": "yarnPath: .yarn/releases/yarn-4.1.0.cjs\n"}
            | {".yarn/releases/yarn-4.1.0.cjs": ""},
            {},
            (),
            "node .yarn/releases/yarn-4.1.0.cjs install --immutable",
        ),
        (
            {"yarn.lock": BERRY, ".yarnrc.yml": "yarnPath: .yarn/releases/gone.cjs\n"},
            {"packageManager": "yarn@4.1.0"},
            (Tool("yarn", "4.1.0"),),
            "yarn install --immutable",
        ),
        (
            {"bun.lock": "{}"},
            {},
            (Tool("bun", "1.4.5"),),
            "bun install --frozen-lockfile --backend=copyfile --production",
        ),
        # The manager that is named goes before a lock that another left behind.
        (
            {"package-lock.json": {}},
            {"packageManager": "bun@1.2.15"},
            (Tool("bun", "1.2.15"),),
            "bun install --no-save --backend=copyfile --production",
        ),
    ],
)
def test_the_manager_that_a_project_is_kept_with(
    tmp_path: Path, files: dict[str, Any], more: dict[str, Any], tools: tuple[Tool, ...], install: str
) -> None:
    plan = planned(tmp_path, {"package.json": {**PACKAGE, **more}, "index.js": "", **files})

    assert plan.tools == tools
    assert words(plan)[0] == install


def test_a_lock_of_pnpm_that_holds_nothing_locks_nothing(tmp_path: Path) -> None:
    """Case B06."""
    package = {**PACKAGE, "packageManager": "pnpm@9.15.0", "scripts": {"preinstall": "npx only-allow pnpm"}}
    files = {"package.json": package, "pnpm-lock.yaml": "lockfileVersion: '9.0'\n", "index.js": ""}

    plan = planned(tmp_path, files)

    assert (plan.tool, plan.lock) == ("pnpm", "")
    assert words(plan) == ["pnpm install --no-frozen-lockfile --prod"]
    assert plan.why[0] == "pnpm 9.15.0 from packageManager"


@pytest.mark.parametrize("named", ["pnpm@9.1.0;touch", "pnpm@--global", "pnpm@file:../x", "pnpm@^9"])
def test_only_an_exact_version_goes_into_a_command(tmp_path: Path, named: str) -> None:
    plan = planned(tmp_path, {"package.json": {**PACKAGE, "packageManager": named}, "index.js": ""})

    assert plan.tools == (Tool("pnpm", "9.15.9"),)


@pytest.mark.parametrize("named", ["cnpm@9.0.0", "../pnpm", "pnpm\n@9", "pnpm@9.1.0;touch /x"])
def test_a_manager_that_nobody_knows(tmp_path: Path, named: str) -> None:
    with pytest.raises(SourceError, match="no package manager that is known"):
        planned(tmp_path, {"package.json": {**PACKAGE, "packageManager": named}, "index.js": ""})


def test_why_names_what_was_found(tmp_path: Path) -> None:
    files = {
        "package.json": {**PACKAGE, "packageManager": "pnpm@9.1.0"},
        "pnpm-lock.yaml": PNPM,
        "index.js": "",
    }

    assert planned(tmp_path, files).why == (
        "pnpm 9.1.0 from packageManager",
        "pnpm-lock.yaml found",
        "starts `notes-mcp` from bin",
    )


def test_packages_of_plug_n_play_are_laid_out_as_directories(tmp_path: Path) -> None:
    files = {"package.json": PACKAGE, "yarn.lock": BERRY, ".pnp.cjs": "", "index.js": ""}

    plan = planned(tmp_path, files)

    assert plan.environment["YARN_NODE_LINKER"] == "node-modules"
    assert plan.command == ("node", "index.js")


def test_plug_n_play_stays_where_the_project_counts_on_it(tmp_path: Path) -> None:
    package = {"scripts": {"start": "yarn node src/index.js"}, "dependencies": {"is-number": "7.0.0"}}
    files = {"package.json": package, "yarn.lock": BERRY, "src/index.js": ""}

    plan = planned(tmp_path, files)

    assert "YARN_NODE_LINKER" not in plan.environment
    assert plan.environment["YARN_ENABLE_GLOBAL_CACHE"] == "false"
    assert plan.command == ("node", "--require", "./.pnp.cjs", "src/index.js")


@pytest.mark.parametrize("manager", ["npm@10.0.0", "pnpm@9.1.0", "yarn@1.22.22", "bun@1.2.15"])
def test_scripts_that_need_development_tools_are_left_out(tmp_path: Path, manager: str) -> None:
    """Case B05: `prepare` of the root."""
    package = {
        **PACKAGE,
        "packageManager": manager,
        "scripts": {"prepare": "tsc", "postinstall": "husky install"},
    }
    plan = planned(tmp_path, {"package.json": package, "index.js": ""})

    assert words(plan)[0] == "npm --loglevel=error pkg delete scripts.postinstall scripts.prepare"
    assert plan.files == ("package.json",)
    assert not any(
        "--ignore-scripts" in each for each in words(plan, "install")
    )  # native modules need theirs


def test_a_postinstall_that_needs_a_development_tool_has_it(tmp_path: Path) -> None:
    package = {
        **PACKAGE,
        "scripts": {"postinstall": "patch-package"},
        "devDependencies": {"patch-package": "8"},
    }
    plan = planned(tmp_path, {"package.json": package, "index.js": "", "package-lock.json": {}})

    assert words(plan) == ["npm ci --include=dev", "npm prune --omit=dev --ignore-scripts"]
    assert plan.files == ()


@pytest.mark.parametrize(
    ("package", "files"),
    [
        ({"pnpm": {"patchedDependencies": {"x": "patches/x.patch"}}}, {}),
        ({}, {"pnpm-workspace.yaml": "patchedDependencies: {x: patches/x.patch}\n"}),
        ({}, {".pnpmfile.cjs": ""}),
        ({"dependencies": {"lib": "link:./lib"}}, {"lib/package.json": "{}"}),
    ],
)
def test_an_install_that_needs_more_than_manifests(
    tmp_path: Path, package: dict[str, Any], files: dict[str, str]
) -> None:
    base = {"package.json": {**PACKAGE, **package}, "pnpm-lock.yaml": PNPM, "index.js": ""}

    plan = planned(tmp_path, base | files)

    assert plan.files == ()
    assert not any(step.early for step in plan.steps)


def test_nothing_to_install_needs_no_tool(tmp_path: Path) -> None:
    package = {"name": "x", "bin": "index.js", "packageManager": "pnpm@9.1.0"}

    plan = planned(tmp_path, {"package.json": package, "index.js": ""})

    assert (plan.steps, plan.tools) == ((), ())


def test_a_workspace_file_that_is_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"pnpm-workspace\.yaml cannot be read: it is no YAML in line 2"):
        planned(tmp_path, {"package.json": PACKAGE, "index.js": "", "pnpm-workspace.yaml": "a: 1\n- [\n"})
