"""Plans how a Node package is installed and built."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hosting.sources import manifests, node_managers, node_start, node_workspace
from hosting.sources.node_managers import Manager
from hosting.sources.node_start import Start
from hosting.sources.node_workspace import Part, Workspace
from hosting.sources.plan import Step

# The manager runs these scripts during an install; they may read any file of the context.
AROUND = ("preinstall", "install", "postinstall")
PREPARING = ("prepare", "prepublish", "preprepare", "postprepare")
RUNTIME = ("dependencies", "optionalDependencies")
LEAVES_OUT = "Leaving out scripts that only those who work on it need"
# Nobody can answer a question, and tools for git hooks are not needed.
QUIET = {"CI": "true", "HUSKY": "0", "HUSKY_SKIP_INSTALL": "1", "LEFTHOOK": "0"}
# No manager may replace itself by another version. Packages are copied: with hard links into a shared store
# one server could change the packages of another.
OF_MANAGER: Mapping[str, Mapping[str, str]] = {
    "pnpm": {
        "npm_config_manage_package_manager_versions": "false",
        "npm_config_package_manager_strict": "false",
        "npm_config_package_import_method": "copy",
        "pnpm_config_package_import_method": "copy",
        "pnpm_config_pm_on_fail": "ignore",
    },
    "yarn": {"YARN_IGNORE_PATH": "1"},
    "berry": {"YARN_IGNORE_PATH": "1", "YARN_ENABLE_TELEMETRY": "0", "YARN_ENABLE_PROGRESS_BARS": "0"},
}
# From version 12 on, npm runs install scripts, and takes packages from git or a URL, only if a project allows
# it. A project that was made with an earlier npm allows nothing, but may need all of that.
OWN_POLICY = 12
AS_BEFORE = {
    **node_managers.LET_SCRIPTS_RUN,
    "npm_config_allow_git": "all",
    "npm_config_allow_remote": "all",
}
ALLOWS = re.compile(r"^\s*(?:strict-)?allow-\w+\s*=", re.MULTILINE)
AS_DIRECTORIES = {"YARN_NODE_LINKER": "node-modules"}
IN_PROJECT = {"YARN_ENABLE_GLOBAL_CACHE": "false"}
# Take packages of the workspace from there, even if their range alone could mean the registry.
FROM_WORKSPACE = {
    f"{prefix}_config_{name}_workspace_packages": "true"
    for prefix in ("npm", "pnpm")
    for name in ("link", "prefer")
}
PNP = re.compile(r"\.pnp\.|\byarn node\b")
MANIFESTS = ("package.json", ".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml", "bunfig.toml")


@dataclass(frozen=True)
class Installation:
    """`build` is the command set by hand in place of the build script.

    `known` tells that the source itself knows its command.
    """

    workspace: Workspace
    part: Part
    manager: Manager
    start: Start
    build: str = ""
    known: bool = False

    @cached_property
    def parts(self) -> list[Part]:
        """The packages to install for: the root, the packages that the member needs, and the member."""
        ours = [*self.workspace.local(self.part), self.part]
        return [*([self.workspace.own] if self.part.path else []), *ours]

    @property
    def directory(self) -> Path:
        """The member's directory."""
        return self.workspace.root / self.part.path

    def steps(self) -> tuple[Step, ...]:
        """Returns the steps in their order. Raises `SourceError`."""
        for part in self.parts:
            node_workspace.must_be_local(self.workspace, part, locked=bool(self.manager.lock))
        if not self._has_packages():
            return tuple(self._building)
        at = self.part.path if self.workspace.parts and not self.workspace.listed else ""
        members = tuple(part.path for part in self.parts if part.path) if self.workspace.listed else ()
        install = self.manager.install(dev=self._dev, members=members, at=at)
        says = f"Installing Node packages with {self.manager.name}"
        steps = [*self._left_out(), Step("install", install, says, early=bool(self.files)), *self._building]
        if prune := self.manager.prune(members=members, at=at) if self._prunes() else ():
            steps.append(Step("prune", prune, "Removing what only the build needs"))
        return tuple(steps)

    @property
    def command(self) -> tuple[str, ...]:
        """The words that start the server; with Yarn's Plug'n'Play they load .pnp.cjs."""
        command = self.start.command
        if self._by_pnp and command[0] == "node" and ".pnp.cjs" not in " ".join(command):
            up = "../" * len(Path(self.part.path).parts)
            return ("node", "--require", f"./{up}.pnp.cjs", *command[1:])
        return command

    @property
    def environment(self) -> dict[str, str]:
        """The variables for the steps."""
        found = {**QUIET, **OF_MANAGER.get(self.manager.kind, {})}
        if self.manager.kind == "npm" and not self._has_policy():
            found |= AS_BEFORE
        if self.manager.kind == "berry":
            found |= IN_PROJECT if self._by_pnp else AS_DIRECTORIES if self.manager.pnp else {}
        if self.manager.kind == "pnpm" and not self.manager.lock and self.workspace.parts:
            found |= FROM_WORKSPACE
        return found

    @property
    def why(self) -> tuple[str, ...]:
        """Sentences about the choices; some may be ""."""
        spread = self.manager.pnp and not self._by_pnp
        loose = self._has_packages() and not self.manager.lock
        return (
            "no lock: versions are the newest that package.json allows" if loose else "",
            self.start.why,
            f"development dependencies are kept: what is started uses {self._used}" if self._used else "",
            "packages of Plug'n'Play are laid out as node_modules" if spread else "",
            *(f"builds with `{shlex.join(step.argv)}`" for step in self._building),
        )

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the source that an install reads; () if it may read any."""
        root, own = self.workspace.root, dict(self.workspace.own.package)
        runs = any(self._runs(self.workspace.own, name) for name in (*AROUND, *PREPARING))
        patched = (own, manifests.table(own, "pnpm"), node_workspace.yaml_of(root, "pnpm-workspace.yaml"))
        others = self.workspace.parts or own.get("workspaces") or manifests.has(root, ".pnpmfile.cjs")
        if (
            (runs or others or self.manager.kind == "berry" or self.manager.program[0] == "node")
            or any("patchedDependencies" in each for each in patched)
            or any(spec.startswith(node_workspace.LOCAL) for _, spec in node_workspace.specs(own))
        ):
            return ()
        names = dict.fromkeys((MANIFESTS[0], self.manager.lock, *MANIFESTS[1:]))
        return tuple(name for name in names if name and manifests.has(root, name))

    # What is installed and what is left out

    @cached_property
    def _development(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for part in self.parts:
            found |= manifests.table(dict(part.package), "devDependencies")
        runtime = {name for part in self.parts for name, _ in node_workspace.specs(part.package, RUNTIME)}
        return {name: spec for name, spec in found.items() if name not in runtime}

    @cached_property
    def _used(self) -> str:
        """The development dependency that the start command uses; "" for none."""
        return node_start.used_package(" ".join(self.start.command), self._development)

    @cached_property
    def _dev(self) -> bool:
        """Tells whether development dependencies are installed, even if only a build or an install script
        needs them.
        """
        texts = [str(part.scripts.get(name) or "") for part in self.parts for name in AROUND]
        serious = [text for text in texts if text and not node_start.is_hook_tool(text)]
        in_scripts = any(node_start.used_package(text, self._development) for text in serious)
        return bool(self._used or self._building or in_scripts)

    def _has_policy(self) -> bool:
        """Tells whether the project says what npm may run, or is kept with an npm that requires it."""
        root = self.workspace.root
        settings = manifests.read(root, ".npmrc") if manifests.has(root, ".npmrc") else ""
        named = "allowScripts" in self.workspace.own.package or bool(ALLOWS.search(settings))
        return named or self.manager.major >= OWN_POLICY

    def _prunes(self) -> bool:
        # Yarn runs the project's own scripts again, which may need a removed dependency.
        again = self.manager.kind == "berry" and any(part.scripts.keys() & {*AROUND} for part in self.parts)
        return (
            bool(self._development)
            and (self._dev or self.manager.kind == "berry")
            and not (self._used or again)
        )

    def _has_packages(self) -> bool:
        groups = (*RUNTIME, *(("devDependencies",) if self._dev else ()))
        return (
            any(part.package.get(group) for part in self.parts for group in groups) or self.workspace.listed
        )

    def _left_out(self) -> list[Step]:
        """Returns steps that remove scripts from package.json which would fail without development tools."""
        found = []
        for part in {part.path: part for part in (*self.parts, *self.workspace.parts.values())}.values():
            if names := [name for name in (*AROUND, *PREPARING) if self._is_left_out(part, name)]:
                at = ("--prefix", part.path) if part.path else ()
                scripts = (f"scripts.{name}" for name in names)
                words = ("npm", "--loglevel=error", *at, "pkg", "delete", *scripts)
                found.append(Step("install", words, LEAVES_OUT, early=bool(self.files)))
        return found

    def _is_left_out(self, part: Part, name: str) -> bool:
        text = str(part.scripts.get(name) or "")
        if not text or (self.manager.kind == "berry" and name in PREPARING):
            return False
        return node_start.is_hook_tool(text) or (name in PREPARING and not (self._dev and part in self.parts))

    def _runs(self, part: Part, name: str) -> bool:
        text = str(part.scripts.get(name) or "")
        checks_only = node_managers.ONLY.search(text) and "&" not in text
        return bool(text) and not checks_only and not self._is_left_out(part, name)

    @property
    def _by_pnp(self) -> bool:
        """Tells whether to keep Yarn's Plug'n'Play: only if the project's own scripts use it."""
        return self.manager.pnp and any(PNP.search(str(text)) for text in self.part.scripts.values())

    # What is built

    @cached_property
    def _building(self) -> list[Step]:
        local = (part for part in self.workspace.local(self.part) if self._is_unbuilt(part))
        return [*(self._script(part, "build") for part in local), *self._own_building()]

    def _is_unbuilt(self, part: Part) -> bool:
        directory, entries = self.workspace.root / part.path, _entries(part.package)
        lacking = not entries or any(node_start.missing_file(directory, ("node", entry)) for entry in entries)
        return bool(part.scripts.get("build")) and lacking

    def _own_building(self) -> list[Step]:
        if self.build:
            return [self._line(self.build)]
        ahead = [self._script(self.part, name) for name in self.start.before]
        if ahead or self.start.commands:
            return [*ahead, *(self._line(line) for line in self.start.commands)]
        named = node_start.files_of(self.start.command)
        lacking = node_start.missing_file(self.directory, self.start.command)
        if (named and not lacking) or (self.known and not named):
            return []
        return self._making(lacking)

    def _making(self, lacking: str) -> list[Step]:
        """Returns the steps that build the file that is started; without one, the step of
        the `build` script.
        """
        script = node_start.build_script(self.directory, self.part)
        if script and (lacking or script == "build"):
            return [self._script(self.part, script)]
        if not lacking:
            return []
        if self.part.path and self.workspace.own.scripts.get("build"):
            return [self._script(self.workspace.own, "build")]
        if manifests.has(self.directory, "tsconfig.json"):
            return [self._line("tsc -p tsconfig.json")]
        return []

    def _script(self, part: Part, name: str) -> Step:
        return Step("build", self.manager.run(name, part.path), f"Running {name} of {part.shown}")

    def _line(self, line: str) -> Step:
        there = f"cd {shlex.quote(self.part.path)} && {line}" if self.part.path else line
        return Step("build", ("sh", "-c", there), f"Running {line}")


def _entries(package: Mapping[str, Any]) -> list[str]:
    """Returns the files that other packages load, as far as package.json names them by a plain path."""
    exports = package.get("exports")
    top = exports.get(".", exports) if isinstance(exports, dict) else exports
    inner = list(top.values()) if isinstance(top, dict) else [top]
    names = (package.get("main"), package.get("module"), *inner)
    return [name.removeprefix("./") for name in names if isinstance(name, str) and "*" not in name]
