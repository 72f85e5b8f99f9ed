from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hosting.errors import SourceError
from tests.hosting.sources.node_samples import planned, words

SERVER = {"name": "@acme/server", "bin": {"notes": "index.js"}, "dependencies": {"@acme/core": "*"}}
CORE = {"name": "@acme/core", "version": "1.0.0", "main": "index.js"}
WEB = {"name": "web", "version": "1.0.0"}
TREE: dict[str, Any] = {
    "package.json": {"name": "root", "private": True, "workspaces": ["packages/*"]},
    "packages/server/package.json": SERVER,
    "packages/server/index.js": "",
    "packages/core/package.json": CORE,
    "packages/core/index.js": "",
    "packages/web/package.json": WEB,
}
FILTERED = "--workspace=packages/core --workspace=packages/server --include-workspace-root"


def test_the_workspace_of_a_subdirectory_is_installed(tmp_path: Path) -> None:
    """Case B20."""
    plan = planned(tmp_path, TREE, "packages/server")

    assert (plan.root, plan.member, plan.command) == ("", "packages/server", ("node", "index.js"))
    assert words(plan) == [f"npm install --no-package-lock --omit=dev {FILTERED}"]


@pytest.mark.parametrize("chosen", [{}, {"member": "packages/server"}, {"member": "@acme/server"}])
def test_the_one_part_that_can_be_started(tmp_path: Path, chosen: dict[str, str]) -> None:
    assert planned(tmp_path, TREE, **chosen).member == "packages/server"


def test_of_several_parts_one_has_to_be_named(tmp_path: Path) -> None:
    tree = TREE | {"packages/web/package.json": {**WEB, "scripts": {"start": "next start"}}}

    with pytest.raises(SourceError, match=r"@acme/server \(packages/server\), web \(packages/web\)"):
        planned(tmp_path, tree)


def test_a_member_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no part “nothing”") as caught:
        planned(tmp_path, TREE, member="nothing")
    assert "packages/server" in caught.value.hint


def test_a_root_within_the_source(tmp_path: Path) -> None:
    tree = {f"js/{name}": content for name, content in TREE.items()}

    plan = planned(tmp_path, tree, root="js", member="@acme/server")

    assert (plan.root, plan.member) == ("js", "packages/server")


def test_parts_are_built_in_the_order_of_their_needs(tmp_path: Path) -> None:
    built = {"scripts": {"build": "tsc"}, "devDependencies": {"typescript": "5"}}
    tree = TREE | {
        "turbo.json": "{}",
        "packages/server/package.json": {**SERVER, "bin": "dist/index.js", **built},
        "packages/core/package.json": {
            **CORE,
            "main": "dist/index.js",
            "dependencies": {"base": "*"},
            **built,
        },
        "packages/base/package.json": {"name": "base", "version": "1.0.0", "main": "dist/x.js", **built},
    }

    plan = planned(tmp_path, tree, "packages/server")

    assert words(plan, "build") == [
        f"npm --prefix packages/{name} run build" for name in ("base", "core", "server")
    ]
    assert "Turborepo found: the parts are built one by one" in plan.why


@pytest.mark.parametrize(
    ("files", "install", "build"),
    [
        (
            {"pnpm-workspace.yaml": "packages: ['packages/*', '!packages/web']\n"}
            | {"pnpm-lock.yaml": "lockfileVersion: '9.0'\nimporters: {}\n"},
            "pnpm install --frozen-lockfile --prod=false --filter {packages/core} --filter {packages/server}",
            "pnpm --dir packages/server run build",
        ),
        (
            {"yarn.lock": "# yarn lockfile v1\n"},
            "yarn install --frozen-lockfile --non-interactive --production=false",
            "yarn --cwd packages/server run build",
        ),
        (
            {"yarn.lock": "__metadata:\n  version: 8\n"},
            "yarn install --immutable",
            "yarn --cwd packages/server run build",
        ),
        (
            {"bun.lock": "{}"},
            "bun install --frozen-lockfile --backend=copyfile",
            "bun --cwd packages/server run build",
        ),
    ],
)
def test_each_manager_s_own_words(tmp_path: Path, files: dict[str, str], install: str, build: str) -> None:
    server = {
        **SERVER,
        "bin": "dist/x.js",
        "scripts": {"build": "tsc"},
        "devDependencies": {"typescript": "5"},
    }
    tree = TREE | files | {"packages/server/package.json": server}

    plan = planned(tmp_path, tree, "packages/server")

    assert (words(plan, "install"), words(plan, "build")) == ([install], [build])


def test_a_directory_beside_that_is_no_workspace(tmp_path: Path) -> None:
    tree = {
        "server/package.json": {"name": "s", "bin": "x.js", "dependencies": {"core": "file:../core"}},
        "server/x.js": "",
        "core/package.json": CORE,
    }

    plan = planned(tmp_path, tree, "server")

    assert (plan.root, plan.member) == ("", "server")
    assert words(plan) == ["npm --prefix server install --no-package-lock --omit=dev"]


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (
            TREE | {"packages/server/package.json": {**SERVER, "dependencies": {"@acme/core": "^2.0.0"}}},
            "asks for @acme/core \\^2.0.0, but the workspace has 1.0.0",
        ),
        (
            TREE
            | {"packages/server/package.json": {**SERVER, "dependencies": {"@acme/gone": "workspace:*"}}},
            "depends on @acme/gone \\(workspace:\\*\\), which no workspace",
        ),
        (
            TREE | {"packages/server/package.json": {**SERVER, "dependencies": {"x": "file:../../../x"}}},
            "leads out of the source",
        ),
    ],
)
def test_a_local_name_that_would_be_asked_of_the_public_index(
    tmp_path: Path, tree: dict[str, Any], said: str
) -> None:
    (tmp_path / "top").mkdir()
    tree = tree if "leads" not in said else {k: v for k, v in tree.items() if "workspaces" not in str(v)}
    with pytest.raises(SourceError, match=said):
        planned(tmp_path / "top", tree, "packages/server")


def test_parts_are_not_looked_for_beyond_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "evil").mkdir(parents=True)
    (outside / "evil/package.json").write_text('{"name": "evil", "bin": "x.js"}')
    top = tmp_path / "top"
    (top / "packages").mkdir(parents=True)
    (top / "packages/evil").symlink_to(outside / "evil")

    assert planned(top, TREE).member == "packages/server"


def test_a_start_of_the_root_that_only_runs_the_parts(tmp_path: Path) -> None:
    root = {**TREE["package.json"], "scripts": {"start": "turbo run start"}}

    assert planned(tmp_path, TREE | {"package.json": root}).member == "packages/server"


def test_a_directory_whose_name_would_be_more_than_a_name(tmp_path: Path) -> None:
    server = {"packages/x\nRUN y/package.json": SERVER, "packages/x\nRUN y/index.js": ""}
    tree = {name: content for name, content in TREE.items() if "server" not in name} | server

    with pytest.raises(SourceError, match="cannot be started in"):
        planned(tmp_path, tree)
