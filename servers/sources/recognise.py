"""Looks at a build context and says how to install and start the server in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from servers.errors import SourceError
from servers.sources import manifests
from servers.sources.base import BuildContext, Recipe

SCRIPTS = ("server.py", "main.py", "app.py")
NODE_MAINS = ("index.js", "index.mjs", "server.js")
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


def recognise(context: BuildContext, *, command: tuple[str, ...] = (), images: bool) -> Recipe:
    """`images`: whether the runtime runs images; without, a Dockerfile cannot help. Raises `SourceError`."""
    path, given = context.path, command or context.command
    if images and manifests.has(path, "Dockerfile"):
        return Recipe("dockerfile", command=command, dockerfile="Dockerfile")
    if manifests.has(path, "package.json") and not _is_python(path):
        return _node(path, given)
    if _is_python(path) or _script(path):
        return _python(path, given)
    raise _not_recognised(path)


def _is_python(path: Path) -> bool:
    return manifests.has(path, "requirements.txt") or bool(_project(path))


def _project(path: Path) -> dict[str, Any]:
    return manifests.table(manifests.pyproject(path), "project")


def _not_recognised(path: Path) -> SourceError:
    if manifests.has(path, "Dockerfile"):
        return SourceError(
            "This source has only a Dockerfile, which the process runtime cannot run.",
            hint="Use the docker or kubernetes runtime, or add pyproject.toml or package.json.",
        )
    return SourceError(
        "Nothing that can be started was found in the source.",
        hint="Looked for Dockerfile, pyproject.toml with [project], requirements.txt, package.json, "
        + ", ".join(SCRIPTS)
        + ". If the server lies deeper, set the subdirectory.",
    )


def _python(path: Path, command: tuple[str, ...]) -> Recipe:
    project = _project(path)
    packaged = _is_packaged(path, project)
    chosen = command or _python_command(path, project if packaged else {})
    if packaged:
        return Recipe("python", "project", chosen, files=("pyproject.toml",))
    if manifests.has(path, "requirements.txt"):
        return Recipe("python", "requirements", chosen, files=manifests.requirement_files(path))
    if manifests.dependencies(project):
        return Recipe("python", "requirements", chosen, files=("pyproject.toml",))
    return Recipe("python", "", chosen)


def _is_packaged(path: Path, project: dict[str, Any]) -> bool:
    """Whether pip can install the context itself; a pyproject.toml may only list dependencies or tools."""
    if not project.get("name"):
        return False
    has_backend = "build-system" in manifests.pyproject(path)
    return bool(project.get("scripts")) or (has_backend and not manifests.has(path, "requirements.txt"))


def _python_command(path: Path, project: dict[str, Any]) -> tuple[str, ...]:
    scripts = manifests.table(project, "scripts")
    if scripts:
        return (choose_script(tuple(scripts), str(project.get("name", "")), "[project.scripts]"),)
    if script := _script(path):
        return ("python", script)
    if package := _runnable_package(path, with_src=bool(project)):
        return ("python", "-m", package)
    raise SourceError(
        "The source is Python, but how to start it was not found.",
        hint="Looked for [project.scripts] in pyproject.toml, "
        + ", ".join(SCRIPTS)
        + ", and a package with __main__.py. Set the command.",
    )


def choose_script(names: tuple[str, ...], package: str, where: str) -> str:
    """The one script of a package, or the one of several that bears its name. Raises `SourceError`."""
    if len(names) == 1:
        return names[0]
    for name in names:
        if canonicalize_name(name) == canonicalize_name(package.rpartition("/")[2]):
            return name
    raise SourceError(
        f"Which command starts the server is not clear: {where} has {', '.join(sorted(names))}.",
        hint="Set the command to one of them.",
    )


def _script(path: Path) -> str:
    return next((name for name in SCRIPTS if manifests.has(path, name)), "")


def _runnable_package(path: Path, *, with_src: bool) -> str:
    roots = [path, path / "src"] if with_src else [path]
    mains = sorted(main for root in roots for main in root.glob("*/__main__.py"))
    names = [main.parent.name for main in mains if main.parent.name.isidentifier()]
    if len(names) > 1:
        raise SourceError(
            f"Which package starts the server is not clear: {', '.join(names)} have a __main__.py.",
            hint="Set the command, for example python -m " + names[0] + ".",
        )
    return names[0] if names else ""


def _node(path: Path, command: tuple[str, ...]) -> Recipe:
    package = manifests.package_json(path)
    lock = next((name for name in LOCKS if manifests.has(path, name)), "")
    scripts = manifests.table(package, "scripts")
    chosen = command or _node_command(path, package, scripts)
    return Recipe(
        "node",
        "lock" if lock else "package",
        chosen,
        files=_node_files(path, package, lock),
        build="build" in scripts and not _built(path, chosen),
    )


def _node_files(path: Path, package: dict[str, Any], lock: str) -> tuple[str, ...]:
    scripts = manifests.table(package, "scripts")
    needs_all = INSTALL_SCRIPTS & scripts.keys() or "workspaces" in package or _has_local_dependency(package)
    if needs_all:
        return ()
    return tuple(name for name in ("package.json", lock, ".npmrc") if name and manifests.has(path, name))


def _has_local_dependency(package: dict[str, Any]) -> bool:
    groups = ("dependencies", "devDependencies", "optionalDependencies")
    specs = (spec for group in groups for spec in manifests.table(package, group).values())
    return any(str(spec).startswith(("file:", "link:", ".", "/")) for spec in specs)


def _node_command(path: Path, package: dict[str, Any], scripts: dict[str, Any]) -> tuple[str, ...]:
    if bins := bins_of(package):
        name = choose_script(tuple(bins), str(package.get("name", "")), "bin in package.json")
        return ("node", _relative(bins[name]))
    if start := scripts.get("start"):
        return _start_command(str(start), scripts)
    main = str(package.get("main", "")) or next(
        (name for name in NODE_MAINS if manifests.has(path, name)), ""
    )
    if main:
        return ("node", _relative(main))
    raise SourceError(
        "The source is a Node package, but how to start it was not found.",
        hint="Looked in package.json for bin, scripts.start and main, and for "
        + ", ".join(NODE_MAINS)
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
