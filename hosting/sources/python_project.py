"""Plans a Python project: the tool that keeps it, how it is installed, and what starts its server.

The steps are in `python_manifest` (what is declared), `python_layout` (where it lies), `python_locks`,
`python_steps` (how it is installed), `python_start` and `python_versions`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hosting.errors import SourceError
from hosting.sources import (
    manifests,
    python_inline,
    python_layout,
    python_locks,
    python_manifest,
    python_requirements,
    python_scripts,
    python_start,
    python_steps,
    python_versions,
)
from hosting.sources.base import BuildContext
from hosting.sources.plan import Choices, Plan, Step, Tool
from hosting.sources.python_layout import Place
from hosting.sources.python_manifest import Manifest
from hosting.sources.python_start import SCRIPTS, Start
from hosting.sources.python_steps import Installation

__all__ = ["SCRIPTS", "is_one", "is_packaged", "plan", "unsupported"]

# Conda and similar tools install packages that are not in an index of Python packages.
CONDA = {
    "environment.yml": "conda",
    "environment.yaml": "conda",
    "conda-lock.yml": "conda-lock",
    "meta.yaml": "conda-build",
    "pixi.toml": "pixi",
    "pixi.lock": "pixi",
}


def is_one(path: Path) -> bool:
    """Tells whether the directory holds a Python project, or a script that could be a server."""
    return is_packaged(path) or python_start.is_script_there(path) or python_start.is_single_script(path)


def is_packaged(path: Path) -> bool:
    """Tells whether the directory declares dependencies; a directory with only a script may be anything."""
    if python_manifest.read(path) or _is_workspace(path):
        return True
    try:
        return python_requirements.find(path) is not None
    except SourceError:
        return True


def _is_workspace(path: Path) -> bool:
    return bool(manifests.within(manifests.pyproject(path), "tool", "uv", "workspace"))


def unsupported(path: Path) -> SourceError | None:
    """Returns the error for a source that needs conda or a similar tool; None for any other source."""
    found = next(((file, tool) for file, tool in CONDA.items() if manifests.has(path, file)), None)
    if found is None:
        return None
    return SourceError(
        f"The source is kept with {found[1]} ({found[0]}), which is not supported.",
        hint="Add a pyproject.toml or a requirements.txt with what it needs of PyPI, or a Dockerfile from an "
        f"image that has {found[1]} (for the docker and kubernetes runtimes).",
    )


def plan(context: BuildContext, choices: Choices) -> Plan:
    """Returns the plan. Raises `SourceError`."""
    place = python_layout.locate(context, choices)
    place, member_why = _startable(place, choices)
    manifest = python_manifest.read(place.project)
    installation, start = _installation(place, manifest, choices, context)
    version, allowed, version_why = _version(place, manifest, choices, context, start)
    scm = python_versions.scm_environment(_of_source(place, manifest), context.version)
    return Plan(
        "python",
        command=start.command,
        root=place.root_name,
        member=place.member,
        tool=_tool(place, manifest, installation),
        lock=installation.lock,
        tools=(Tool("uv"),) if installation.steps else (),
        version=version,
        allowed=allowed,
        extras=choices.extras,
        groups=choices.groups,
        files=installation.files if any(step.early for step in installation.steps) else (),
        beside=installation.beside,
        environment=scm,
        steps=(*installation.steps, *_build(choices)),
        why=tuple(filter(None, (
            *member_why, *installation.why, version_why, *python_versions.said_of(scm, context.version),
            *_conda(place.project), start.why,
        ))),
    )  # fmt: skip


def _installation(
    place: Place, manifest: Manifest | None, choices: Choices, context: BuildContext
) -> tuple[Installation, Start]:
    """Returns how to install the project, and what starts it.

    If nothing else declares dependencies, the metadata inside the script that is started is read (PEP 723).
    """
    given = choices.command or context.command
    if manifest is None and python_requirements.find(place.project) is None:
        start = Start(given, "") if given else python_start.start(place.project, None, installed=False)
        script = start.file or python_start.script_of(start.command, place.project)
        metadata = python_scripts.inline(place.project, script) if script else None
        if metadata is not None:
            return python_inline.installation(place, script, metadata, choices), start
    installation = python_steps.of(place, manifest, choices)
    if given:
        return installation, Start(given, "starts what was set by hand" if choices.command else "")
    return installation, python_start.start(place.project, manifest, installed=installation.installed)


def _startable(place: Place, choices: Choices) -> tuple[Place, tuple[str, ...]]:
    """Returns the place of the project to start, and a sentence about it.

    If a workspace's root starts nothing itself, its only member with a command is taken.
    """
    if place.project != place.workspace or choices.member:
        return place, ()
    root = python_manifest.read(place.project)
    if (root and (root.scripts or choices.command)) or python_start.is_script_there(place.project):
        return place, ()
    starting = {
        name: path
        for name, path in place.members.items()
        if path != place.project and (manifest := python_manifest.read(path)) and manifest.scripts
    }
    if len(starting) == 1:
        [(name, path)] = starting.items()
        return replace(place, project=path), (f"{name} is the part of the workspace that starts something",)
    if root and not starting:
        return place, ()
    raise SourceError(
        "Which part of the workspace is the server is not clear"
        + (f": {', '.join(sorted(starting))} have commands." if starting else "."),
        hint=f"Set the member to one of: {', '.join(sorted(place.members))}.",
    )


def _version(
    place: Place, manifest: Manifest | None, choices: Choices, context: BuildContext, start: Start
) -> tuple[str, str, str]:
    """Returns the wanted version or range, the range that may replace it ("" for none), and a sentence about
    it.
    """
    if choices.python:
        return choices.python, "", f"Python {choices.python} was set by hand"
    version, file = python_versions.pinned(dict.fromkeys((place.project, place.root, place.top)))
    bound, source = _bound(place, manifest)
    if version:
        return version, bound, f"Python {version} from {file}"
    if context.python:
        return context.python, "", f"Python {context.python} from the package"
    if bound:
        return bound, "", f"Python {bound} from {source}"
    script = start.file or python_start.script_of(start.command, place.project)
    metadata = python_scripts.inline(place.project, script) if script and manifest is None else None
    asked = str((metadata or {}).get("requires-python", ""))
    return asked, "", f"Python {asked} from {script}" if asked else ""


def _bound(place: Place, manifest: Manifest | None) -> tuple[str, str]:
    """Returns the range of Python that the project supports, and the file that says so; ("", "") for none."""
    lock = python_locks.read(place.workspace, "uv") if place.workspace else None
    if lock and lock.python:
        return lock.python, "uv.lock"
    if manifest is None or not manifest.python:
        return "", ""
    source = {"pipenv": "Pipfile", "poetry": "pyproject.toml", "setuptools": "python_requires"}
    return manifest.python, source.get(manifest.tool, "requires-python")


def _of_source(place: Place, manifest: Manifest | None) -> list[Manifest]:
    """Returns the manifests of all projects of the source that an installation may build."""
    directories = dict.fromkeys((*place.members.values(), *python_layout.needed(place.project, place.top)))
    others = (python_manifest.read(path) for path in directories if path != place.project and path.is_dir())
    return [each for each in (manifest, *others) if each]


def _tool(place: Place, manifest: Manifest | None, installation: Installation) -> str:
    if place.workspace or installation.lock == "uv.lock" or installation.lock.endswith(".py.lock"):
        return "uv"
    return manifest.tool if manifest else "pip"


def _build(choices: Choices) -> tuple[Step, ...]:
    if not choices.build:
        return ()
    return (Step("build", ("sh", "-c", choices.build), f"Building: {choices.build}"),)


def _conda(path: Path) -> tuple[str, ...]:
    found = next((file for file in CONDA if manifests.has(path, file)), "")
    return (f"{found} is passed over: what it lists is not installed",) if found else ()
