"""A Python project: what it is kept with, how it is installed, and what starts its server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servers.errors import SourceError
from servers.sources import manifests
from servers.sources.base import BuildContext
from servers.sources.plan import BESIDE, Choices, Plan, Step, Tool
from servers.sources.starting import choose_script

SCRIPTS = ("server.py", "main.py", "app.py")
DEPENDENCIES = "dependencies.txt"
INSTALL = ("uv", "pip", "install")


def is_one(path: Path) -> bool:
    return is_packaged(path) or bool(_script(path))


def is_packaged(path: Path) -> bool:
    """Whether it says what it depends on; a directory with a script alone may be anything."""
    return manifests.has(path, "requirements.txt") or bool(_project(path))


def plan(context: BuildContext, choices: Choices) -> Plan:
    """Raises `SourceError`."""
    path, project = context.path, _project(context.path)
    installable = _is_installable(path, project)
    command = choices.command or context.command or _command(path, project if installable else {})
    steps, files, beside = _steps(path, project, installable)
    return Plan(
        "python",
        command=command,
        root=context.subdirectory,
        tool="pip",
        tools=(Tool("uv"),) if steps else (),
        version=choices.python or context.python or str(project.get("requires-python", "")),
        files=files,
        beside=beside,
        steps=steps,
    )


def _steps(
    path: Path, project: dict[str, Any], installable: bool
) -> tuple[tuple[Step, ...], tuple[str, ...], dict[str, str]]:
    if installable:
        own = Step("install", (*INSTALL, "."), "Installing the project")
        listed = [line for line in manifests.dependencies(project) if not manifests.LOCAL.search(line)]
        beside = {DEPENDENCIES: "".join(f"{line}\n" for line in listed)} if listed else {}
        first = (_install("-r", f"../{BESIDE}/{DEPENDENCIES}", early=True),) if listed else ()
        return (*first, own), (), beside
    if manifests.has(path, "requirements.txt"):
        if not manifests.requirement_lines(manifests.read(path, "requirements.txt")):
            return (), (), {}
        files = manifests.requirement_files(path)
        return (_install("-r", "requirements.txt", early=bool(files)),), files, {}
    if manifests.dependencies(project):
        return (_install("-r", "pyproject.toml", early=True),), ("pyproject.toml",), {}
    return (), (), {}


def _install(*words: str, early: bool) -> Step:
    return Step("install", (*INSTALL, *words), "Installing Python packages", early=early)


def _project(path: Path) -> dict[str, Any]:
    return manifests.table(manifests.pyproject(path), "project")


def _is_installable(path: Path, project: dict[str, Any]) -> bool:
    """Whether pip can install the context itself; a pyproject.toml may only list dependencies or tools."""
    if not project.get("name"):
        return False
    has_backend = "build-system" in manifests.pyproject(path)
    return bool(project.get("scripts")) or (has_backend and not manifests.has(path, "requirements.txt"))


def _command(path: Path, project: dict[str, Any]) -> tuple[str, ...]:
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
