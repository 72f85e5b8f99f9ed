from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hosting.errors import SourceError
from hosting.sources.node_start import distinct, is_hook_tool
from tests.hosting.sources.node_samples import planned, words


def test_bins_that_are_one_file_are_one_command(tmp_path: Path) -> None:
    bins = {"notes": "dist/cli.js", "notes-server": "./dist/cli.js"}
    plan = planned(tmp_path, {"package.json": {"name": "x", "bin": bins}, "dist/cli.js": ""})

    assert plan.command == ("node", "dist/cli.js")
    assert distinct({"a": "x.js", "own": "./x.js", "b": "y.js"}, "@team/own") == {
        "own": "x.js",
        "b": "y.js",
    }


def test_of_several_bins_the_start_script_decides(tmp_path: Path) -> None:
    package = {"name": "x", "bin": {"a": "a.js", "b": "b.js"}, "scripts": {"start": "node b.js --serve"}}
    files = {"package.json": package, "a.js": "", "b.js": ""}

    assert planned(tmp_path, files).command == ("node", "b.js", "--serve")


@pytest.mark.parametrize(
    ("start", "needed"),
    [
        ("tsx src/index.ts", "tsx"),
        ("npx tsx src/index.ts", "tsx"),
        ("node --import tsx src/index.ts", "tsx"),
        ("node --loader ts-node/esm src/index.ts", "ts-node"),
        ("ts-node src/index.ts", "ts-node"),
        ("nodemon src/index.ts", "nodemon"),
        ("vite-node src/index.ts", "vite-node"),
        ("cross-env NODE_ENV=production node src/index.ts", "cross-env"),
        ("dotenv -- node src/index.ts", "dotenv-cli"),
        ("NODE_ENV=production tsx src/index.ts", "tsx"),
    ],
)
def test_a_start_that_needs_a_development_dependency(tmp_path: Path, start: str, needed: str) -> None:
    """Case B16."""
    package = {
        "scripts": {"start": start},
        "devDependencies": {needed: "1", "eslint": "9", "@types/node": "22"},
    }
    plan = planned(tmp_path, {"package.json": package, "src/index.ts": ""})

    assert words(plan) == ["npm install --no-package-lock --include=dev"]
    assert f"development dependencies are kept: what is started uses {needed}" in plan.why


def test_types_and_linters_are_no_reason_to_keep_them(tmp_path: Path) -> None:
    package = {"scripts": {"start": "node index.js"}, "devDependencies": {"@types/node": "22"}}

    assert planned(tmp_path, {"package.json": package, "index.js": ""}).steps == ()


@pytest.mark.parametrize(
    ("scripts", "command", "builds"),
    [
        ({"start": "npm run serve", "serve": "node b.js"}, ("node", "b.js"), []),
        ({"start": "yarn serve", "serve": "node b.js"}, ("node", "b.js"), []),
        (
            {"start": "npm run build && node dist/x.js", "build": "tsc"},
            ("node", "dist/x.js"),
            ["npm run build"],
        ),
        ({"start": "tsc && node dist/x.js"}, ("node", "dist/x.js"), ["sh -c tsc"]),
        (
            {"start": "node dist/x.js", "prestart": "npm run build", "build": "tsc"},
            ("node", "dist/x.js"),
            ["npm run build"],
        ),
        ({"start": "A=1 node b.js | cat"}, ("sh", "-c", "A=1 node b.js | cat"), []),
        ({"start": "npm install && node b.js"}, ("node", "b.js"), []),
    ],
)
def test_a_start_that_runs_other_scripts(
    tmp_path: Path, scripts: dict[str, str], command: tuple[str, ...], builds: list[str]
) -> None:
    plan = planned(tmp_path, {"package.json": {"scripts": scripts}, "b.js": ""})

    assert plan.command == command
    assert words(plan, "build") == builds


def test_scripts_that_run_each_other_for_ever(tmp_path: Path) -> None:
    scripts = {"start": "npm run a", "a": "npm run start"}

    assert planned(tmp_path, {"package.json": {"scripts": scripts}}).command[0] == "npm"


@pytest.mark.parametrize(
    ("scripts", "files", "build"),
    [
        ({"build": "tsc"}, {}, "npm run build"),
        ({"prepare": "tsc"}, {}, "npm run prepare"),
        ({"prepack": "tsup", "prepare": "husky"}, {}, "npm run prepack"),
        ({"prepare": "husky"}, {"tsconfig.json": "{}"}, "sh -c tsc -p tsconfig.json"),
    ],
)
def test_what_makes_the_file_that_is_started(
    tmp_path: Path, scripts: dict[str, str], files: dict[str, str], build: str
) -> None:
    package = {
        "name": "x",
        "bin": "dist/index.js",
        "scripts": scripts,
        "devDependencies": {"typescript": "5"},
    }
    plan = planned(tmp_path, {"package.json": package, "src/index.ts": "", **files})

    assert words(plan, "build") == [build]
    assert "npm install --no-package-lock --include=dev" in words(plan, "install")
    assert words(plan, "prune") == ["npm prune --omit=dev --ignore-scripts"]


@pytest.mark.parametrize(
    ("more", "command", "node"),
    [
        ({"devDependencies": {"tsx": "4"}}, ("tsx", "src/cli.ts"), ""),
        ({"dependencies": {"ts-node": "10"}}, ("ts-node", "src/cli.ts"), ""),
        ({"packageManager": "bun@1.2.15"}, ("bun", "src/cli.ts"), ""),
        ({}, ("node", "--experimental-strip-types", "src/cli.ts"), ">=22.6"),
        (
            {"engines": {"node": ">=20"}},
            ("node", "--experimental-strip-types", "src/cli.ts"),
            ">=20 >=22.6",
        ),
    ],
)
def test_a_bin_of_typescript(
    tmp_path: Path, more: dict[str, Any], command: tuple[str, ...], node: str
) -> None:
    plan = planned(tmp_path, {"package.json": {"name": "x", "bin": "src/cli.ts", **more}, "src/cli.ts": ""})

    assert (plan.command, plan.version) == (command, node)


def test_a_source_in_typescript_that_names_no_start(tmp_path: Path) -> None:
    files: dict[str, Any] = {
        "package.json": {"scripts": {"build": "tsc"}},
        "src/index.ts": "",
        "tsconfig.json": '{ // made by tsc --init\n "compilerOptions": {"outDir": "./build",}, }',
    }

    plan = planned(tmp_path, files)

    assert (plan.command, words(plan, "build")) == (("node", "build/index.js"), ["npm run build"])


def test_the_first_line_of_a_bin(tmp_path: Path) -> None:
    files = {"package.json": {"name": "x", "bin": "bin/x"}, "bin/x": "#!/usr/bin/env bun\n"}

    plan = planned(tmp_path, files)

    assert (plan.command, [tool.name for tool in plan.tools]) == (("bun", "bin/x"), ["bun"])


def test_what_is_set_goes_before_what_is_found(tmp_path: Path) -> None:
    package = {"name": "x", "bin": "x.js", "scripts": {"build": "tsc"}}
    plan = planned(
        tmp_path, {"package.json": package}, build="make all; echo 'x y'", command=("node", "out/x.js")
    )

    assert plan.command == ("node", "out/x.js")
    assert plan.steps[0].argv == ("sh", "-c", "make all; echo 'x y'")


@pytest.mark.parametrize(
    ("text", "hooks"),
    [
        ("husky", True),
        ("husky install || true", True),
        ("npx husky install", True),
        ("node .husky/install.mjs", True),
        ("lefthook install", True),
        ("husky && npm run build", False),
        ("tsc", False),
        ("is-ci || husky install", True),
    ],
)
def test_what_only_sets_up_hooks(text: str, hooks: bool) -> None:
    assert is_hook_tool(text) is hooks


def test_a_package_without_a_start_names_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="how to start it was not found"):
        planned(tmp_path, {"package.json": {"name": "x"}})
