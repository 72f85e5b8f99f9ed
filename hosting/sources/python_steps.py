"""Plans the installation of a Python project. uv installs the packages, whichever tool keeps the project.

A name that the source itself provides (a workspace member, or a directory that is a dependency) is never
passed to an index. Otherwise anybody could publish a package of that name, and its code would run here
(dependency confusion).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from hosting.errors import SourceError
from hosting.sources import manifests, python_locks, python_requirements
from hosting.sources.plan import BESIDE, Choices, Step
from hosting.sources.python_layout import Place, relative
from hosting.sources.python_locks import Lock
from hosting.sources.python_manifest import Manifest

DEPENDENCIES, LOCKED, WHOLE = "dependencies.txt", "locked.txt", "all.txt"
PACKAGES, PROJECT = "Installing Python packages", "Installing the project"
INSTALL = ("uv", "pip", "install")


@dataclass(frozen=True)
class Installation:
    """The steps of an installation, and what they need; the fields are those of `Plan`.

    `installed` tells that the project itself is then a package of the environment.
    """

    steps: tuple[Step, ...] = ()
    files: tuple[str, ...] = ()
    beside: dict[str, str] = field(default_factory=dict)
    lock: str = ""
    installed: bool = False
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Project:
    """What the steps are planned from."""

    place: Place
    manifest: Manifest
    choices: Choices

    @property
    def here(self) -> str:
        """The project's directory, for an installer that runs in the root."""
        return f"./{self.place.member}" if self.place.member else "."

    def within(self, name: str) -> str:
        """Returns a path of the project, from the root; "." for the root."""
        found = relative(Path(os.path.normpath(self.place.project / name)), self.place.root)
        return found or "."


def of(place: Place, manifest: Manifest | None, choices: Choices) -> Installation:
    """Plans the installation. Without a manifest, the project's requirements file is installed.

    Raises `SourceError`, for example for an extra or a group that does not exist.
    """
    found = _of(place, manifest, choices)
    if not (choices.additional and found.lock):
        return found
    last = Step("install", (*INSTALL, *choices.additional), "Installing what is set besides")
    why = f"{', '.join(choices.additional)}: installed last, over {found.lock}"
    return replace(found, steps=(*found.steps, last), why=(*found.why, why))


def _of(place: Place, manifest: Manifest | None, choices: Choices) -> Installation:
    listed = python_requirements.find(place.project)
    if manifest is None:
        return _listed(place, choices, listed) if listed else Installation()
    project = Project(place, manifest, choices)
    if manifest.tool != "poetry" and (lock := python_locks.read(place.workspace or place.project, "uv")):
        return _by_uv(project, lock)
    lock = python_locks.read(place.project, manifest.tool, choices.groups)
    if lock and manifest.tool == "pipenv":
        return _by_pipenv(project, lock)
    alone = manifest.packaged and (manifest.scripts or manifest.tool in ("poetry", "pdm", "flit"))
    if listed and not alone and lock is None:
        return _listed(place, choices, listed)
    return _packaged(project, lock) if manifest.packaged else _unpackaged(project, lock)


def _by_uv(project: Project, lock: Lock) -> Installation:
    drift = python_locks.compare(lock, project.manifest.requirements)
    steps, files = _synchronised(project) if lock.foreign else _exported(project, lock)
    if drift.lacking:
        steps += (Step("install", (*INSTALL, *drift.lacking), "Installing what uv.lock lacks"),)
    why = ("uv.lock found", *python_locks.describe(lock, drift, "pyproject.toml"))
    packaged = project.manifest.packaged and _is_package_to_uv(project.manifest)
    return Installation(steps, files, {}, lock.file, packaged, why)


def _is_package_to_uv(manifest: Manifest) -> bool:
    told = manifests.within(dict(manifest.pyproject), "tool", "uv").get("package")
    return bool(told) if isinstance(told, bool) else "build-system" in manifest.pyproject


def _chosen_of_uv(project: Project) -> tuple[str, ...]:
    """Returns uv's options for the parts of the lock to install: no development group but those that are
    chosen.
    """
    place = project.place
    choices = project.choices
    is_root = place.project == (place.workspace or place.project)
    member = () if is_root else ("--package", project.manifest.name)
    extras = (word for extra in choices.extras for word in ("--extra", extra))
    groups = (word for group in choices.groups for word in ("--group", group))
    return (*member, *(() if "dev" in choices.groups else ("--no-dev",)), *extras, *groups)


def _in_workspace(project: Project) -> tuple[str, ...]:
    at = relative(project.place.workspace or project.place.project, project.place.root)
    return ("--directory", at) if at else ()


def _synchronised(project: Project) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Runs `uv sync`: if the lock names other indexes, only uv knows which package comes from which."""
    words = ("uv", "sync", *_in_workspace(project), "--frozen", "--no-editable", *_chosen_of_uv(project))
    return (Step("install", words, "Installing what uv.lock has"),), ()


def _exported(project: Project, lock: Lock) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Exports the lock, and installs it from the index of the settings.

    `uv sync` would use the addresses in the lock, and so bypass a mirror.
    """
    at = _in_workspace(project)
    up = "../" * len(Path(at[1]).parts) if at else ""

    def pair(name: str, *more: str, early: bool) -> tuple[Step, Step]:
        file = f"{up}../{BESIDE}/{name}"
        plain = ("--quiet", "--frozen", "--no-header", "--no-annotate", "--no-editable")
        export = ("uv", "export", *at, *plain, *_chosen_of_uv(project), *more, "-o", file)
        return (
            Step("install", export, "Reading uv.lock", early=early),
            Step("install", (*INSTALL, *at, "--no-deps", "-r", file), PACKAGES, early=early),
        )

    first = pair(LOCKED, "--no-emit-local", early=True)
    return (*first, *(pair(WHOLE, early=False) if lock.local else ())), _manifests_of(project)


def _manifests_of(project: Project) -> tuple[str, ...]:
    """Returns the files that uv reads of a workspace."""
    place = project.place
    home = place.workspace or place.project
    of_members = (path / "pyproject.toml" for path in place.members.values())
    found = (home / "pyproject.toml", home / "uv.lock", *of_members)
    return tuple(dict.fromkeys(relative(path, place.root) for path in found))


def _by_pipenv(project: Project, lock: Lock) -> Installation:
    """Installs exactly what the lock lists: Pipenv's lock is complete, and flat."""
    drift = python_locks.compare(lock, project.manifest.requirements)
    text = "".join(pin.line for pin in lock.pins)
    file = f"../{BESIDE}/{LOCKED}"
    indexes = _indexes(project, lock)
    steps: tuple[Step, ...] = ()
    if text:
        words = (*INSTALL, *indexes, "--no-deps", "-r", file)
        steps = (Step("install", words, PACKAGES, early=True),)
    if local := _local(project):
        steps += (Step("install", (*INSTALL, "--no-deps", *local), PROJECT),)
    if drift.lacking:
        steps += (
            Step("install", (*INSTALL, *indexes, *drift.lacking), "Installing what Pipfile.lock lacks"),
        )
    why = (f"{lock.file} found", *python_locks.describe(lock, drift, "Pipfile"))
    return Installation(steps, (), {LOCKED: text} if text else {}, lock.file, False, why)


def _packaged(project: Project, lock: Lock | None) -> Installation:
    """Installs the dependencies in a first step, so that its layer stays valid when the source changes."""
    manifest, choices = project.manifest, project.choices
    held, why, pins = _held(project, lock)
    # They are in the same resolution, so that they bound the project's dependencies.
    besides = () if lock else choices.additional
    extras = f"[{','.join(choices.extras)}]" if choices.extras else ""
    beside = dict(pins)
    early: tuple[Step, ...] = ()
    if manifest.requirements:
        beside[DEPENDENCIES] = "".join(f"{line}\n" for line in manifest.requirements)
        words = (*INSTALL, *held, "-r", f"../{BESIDE}/{DEPENDENCIES}", *besides)
        early = (Step("install", words, PACKAGES, early=True),)
    groups = _groups(project)
    own = Step("install", (*INSTALL, *held, f"{project.here}{extras}", *groups, *besides), PROJECT)
    return Installation((*early, own), (), beside, lock.file if lock else "", True, why)


def _unpackaged(project: Project, lock: Lock | None) -> Installation:
    manifest, choices = project.manifest, project.choices
    held, why, pins = _held(project, lock)
    besides = () if lock else choices.additional
    local = _local(project)
    groups = _groups(project)
    if manifest.standard:
        listed = project.within("pyproject.toml")
        extras = tuple(word for extra in choices.extras for word in ("--extra", extra))
        words = (*INSTALL, *held, "-r", listed, *extras, *groups, *besides)
        elsewhere = bool(local) or len(manifest.requirements) != _count(manifest)
        step = Step("install", words, PACKAGES, early=not elsewhere)
        needed = bool(_count(manifest) or groups or besides or choices.extras)
        return Installation(
            (step,) if needed else (), () if elsewhere else (listed,), pins if needed else {},
            lock.file if lock else "", False, why,
        )  # fmt: skip
    lines = [*manifest.requirements, *(each for extra in choices.extras for each in _extra(manifest, extra))]
    if not (lines or local or groups or besides):
        return Installation(lock=lock.file if lock else "", why=why)
    beside = {**pins, DEPENDENCIES: "".join(f"{line}\n" for line in lines)}
    words = (*INSTALL, *held, "-r", f"../{BESIDE}/{DEPENDENCIES}", *local, *groups, *besides)
    step = Step("install", words, PACKAGES, early=not local)
    return Installation((step,), (), beside, lock.file if lock else "", False, why)


def _count(manifest: Manifest) -> int:
    return len(manifests.dependencies(manifests.table(dict(manifest.pyproject), "project")))


def _held(project: Project, lock: Lock | None) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str]]:
    """Returns words that hold a resolution to the lock, sentences about it, and the file with its pins."""
    indexes = _indexes(project, lock)
    if lock is None:
        return indexes, (), {}
    drift = python_locks.compare(lock, project.manifest.requirements)
    why = (f"{lock.file} found", *python_locks.describe(lock, drift, "pyproject.toml"))
    text = python_locks.constraints(lock, drift.differing)
    if not text:
        return indexes, why, {}
    return (*indexes, "-c", f"../{BESIDE}/{LOCKED}"), why, {LOCKED: text}


def _indexes(project: Project, lock: Lock | None) -> tuple[str, ...]:
    """Returns options for further indexes. uv asks them first, and takes a package from one index only."""
    found = dict.fromkeys((*project.manifest.indexes, *(lock.foreign if lock else ())))
    return tuple(
        word for url in found if url.startswith(("http://", "https://")) for word in ("--index", url)
    )


def _local(project: Project) -> tuple[str, ...]:
    names = (project.within(path) for _, path in project.manifest.local)
    return tuple(dict.fromkeys(name if name == "." else f"./{name}" for name in names))


def _groups(project: Project) -> tuple[str, ...]:
    """Returns words for the chosen groups. uv reads [dependency-groups] itself; other groups
    are listed here.
    """
    manifest, words = project.manifest, list[str]()
    standard = manifests.table(dict(manifest.pyproject), "dependency-groups")
    own = {canonicalize_name(name) for name, _ in manifest.local}
    for group in project.choices.groups:
        if group in standard:
            words += ["--group", f"{project.within('pyproject.toml')}:{group}"]
        elif group in manifest.groups:
            words += [line for line in manifest.groups[group] if (name := _name(line)) and name not in own]
        else:
            raise _unknown("group", group, manifest.groups)
    return tuple(words)


def _extra(manifest: Manifest, extra: str) -> tuple[str, ...]:
    if extra not in manifest.extras:
        raise _unknown("extra", extra, manifest.extras)
    return manifest.extras[extra]


def _unknown(what: str, name: str, there: Iterable[str]) -> SourceError:
    listed = ", ".join(sorted(there))
    return SourceError(f"The project has no {what} “{name}”.", hint=f"There are: {listed}." if listed else "")


def _name(line: str) -> str:
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        return ""


def _listed(place: Place, choices: Choices, listed: python_requirements.Listed) -> Installation:
    at = ("--directory", place.member) if place.member else ()
    found = [listed.name, *(python_requirements.of_group(place.project, group) for group in choices.groups)]
    files = python_requirements.files(place.project, [*found, *listed.constraints])
    if not (python_requirements.says_something(place.project, found) or choices.additional):
        return Installation()
    words = [word for name in found for word in ("-r", name)]
    words += [word for name in listed.constraints for word in ("-c", name)]
    step = Step("install", (*INSTALL, *at, *words, *choices.additional), PACKAGES, early=bool(files))
    shown = tuple(place.member + "/" + name if place.member else name for name in files)
    return Installation((step,), shown, {}, "", False, listed.why)
