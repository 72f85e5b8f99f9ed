"""A Node project: what it is kept with, how it is installed and built, and what starts its server."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from servers.errors import SourceError
from servers.sources import manifests
from servers.sources.base import BuildContext
from servers.sources.plan import Choices, Plan, Step
from servers.sources.starting import choose_script

MAINS = ("index.js", "index.mjs", "server.js")
LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
# npm runs these around an install: they may read any file of the context.
INSTALL_SCRIPTS = {
    "preinstall",
    "install",
    "postinstall",
    "prepare",
    "prepublish",
    "preprepare",
    "postprepare",
}
SHELL = re.compile(r"[|&;<>()$`*?\[\]{}~#=%]|^\s*(?:npm|npx|yarn|pnpm)\b")


def is_one(path: Path) -> bool:
    return manifests.has(path, "package.json")


def plan(context: BuildContext, choices: Choices) -> Plan:
    """Raises `SourceError`."""
    path, package = context.path, manifests.package_json(context.path)
    lock = next((name for name in LOCKS if manifests.has(path, name)), "")
    scripts = manifests.table(package, "scripts")
    command = choices.command or context.command or _command(path, package, scripts)
    builds = "build" in scripts and not _built(path, command)
    files = _files(path, package, lock)
    return Plan(
        "node",
        command=command,
        root=context.subdirectory,
        tool="npm",
        lock=lock,
        files=files,
        steps=_steps(package, lock, builds=builds, early=bool(files)),
    )


def _steps(package: dict[str, Any], lock: str, *, builds: bool, early: bool) -> tuple[Step, ...]:
    groups = ["dependencies", "optionalDependencies", *(["devDependencies"] if builds else [])]
    steps: list[Step] = []
    if any(package.get(group) for group in groups) or "workspaces" in package:
        verb = ("ci",) if lock else ("install", "--no-package-lock")
        words = ("npm", *verb, "--include=dev" if builds else "--omit=dev")
        steps.append(Step("install", words, "Installing Node packages", early=early))
    if builds:
        steps.append(Step("build", ("npm", "run", "build"), "Running npm run build"))
        steps.append(Step("prune", ("npm", "prune", "--omit=dev"), "Removing what only the build needs"))
    return tuple(steps)


def _files(path: Path, package: dict[str, Any], lock: str) -> tuple[str, ...]:
    scripts = manifests.table(package, "scripts")
    needs_all = INSTALL_SCRIPTS & scripts.keys() or "workspaces" in package or _has_local_dependency(package)
    if needs_all:
        return ()
    return tuple(name for name in ("package.json", lock, ".npmrc") if name and manifests.has(path, name))


def _has_local_dependency(package: dict[str, Any]) -> bool:
    groups = ("dependencies", "devDependencies", "optionalDependencies")
    specs = (spec for group in groups for spec in manifests.table(package, group).values())
    return any(str(spec).startswith(("file:", "link:", ".", "/")) for spec in specs)


def _command(path: Path, package: dict[str, Any], scripts: dict[str, Any]) -> tuple[str, ...]:
    if bins := bins_of(package):
        name = choose_script(tuple(bins), str(package.get("name", "")), "bin in package.json")
        return ("node", _relative(bins[name]))
    if start := scripts.get("start"):
        return _start_command(str(start), scripts)
    main = str(package.get("main", "")) or next((name for name in MAINS if manifests.has(path, name)), "")
    if main:
        return ("node", _relative(main))
    raise SourceError(
        "The source is a Node package, but how to start it was not found.",
        hint="Looked in package.json for bin, scripts.start and main, and for "
        + ", ".join(MAINS)
        + ". Set the command.",
    )


def bins_of(package: dict[str, Any]) -> dict[str, str]:
    """`bin` of a package.json, whose short form is one path."""
    found = package.get("bin")
    if isinstance(found, str):
        return {str(package.get("name", "")).rpartition("/")[2]: found}
    return {str(name): str(path) for name, path in found.items()} if isinstance(found, dict) else {}


def _start_command(start: str, scripts: dict[str, Any]) -> tuple[str, ...]:
    # npm prints a banner on stdout, the protocol's channel of a stdio server: none where it isn't needed.
    if SHELL.search(start) or {"prestart", "poststart"} & scripts.keys():
        return ("npm", "--silent", "start")
    try:
        return tuple(shlex.split(start))
    except ValueError:  # a quotation mark that is not closed: the shell shall say so
        return ("npm", "--silent", "start")


def _relative(path: str) -> str:
    return path.removeprefix("./")


def _built(path: Path, command: tuple[str, ...]) -> bool:
    """Whether the file that `node` is to run is there already. Of other commands nothing is known."""
    scripts = [word for word in command[1:] if not word.startswith("-")]
    return command[:1] == ("node",) and bool(scripts) and manifests.has(path, scripts[0])
