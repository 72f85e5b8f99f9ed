"""How the packages of a Python project are installed: one installer, uv, whichever tool keeps the project.

A name that the source itself has (a member of a workspace, a directory that is a dependency) is in no list
that is given to an index: whoever publishes that name would otherwise have their code run here.
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
class Installing:
    """The steps, and what they need. `installed`: the project itself is then a package of the environment."""

    steps: tuple[Step, ...] = ()
    files: tuple[str, ...] = ()
    beside: dict[str, str] = field(default_factory=dict)
    lock: str = ""
    installed: bool = False
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Work:
    place: Place
    manifest: Manifest
    choices: Choices

    @property
    def here(self) -> str:
        """The project's directory, for an installer that runs in the root."""
        return f"./{self.place.member}" if self.place.member else "."

    def within(self, name: str) -> str:
        """A path of the project, from the root."""
        found = relative(Path(os.path.normpath(self.place.project / name)), self.place.root)
        return found or "."


def of(place: Place, manifest: Manifest | None, choices: Choices) -> Installing:
    """Raises `SourceError`."""
    found = _of(place, manifest, choices)
    if not (choices.additional and found.lock):
        return found
    last = Step("install", (*INSTALL, *choices.additional), "Installing what is set besides")
    why = f"{', '.join(choices.additional)}: installed last, over {found.lock}"
    return replace(found, steps=(*found.steps, last), why=(*found.why, why))


def _of(place: Place, manifest: Manifest | None, choices: Choices) -> Installing:
    listed = python_requirements.find(place.project)
    if manifest is None:
        return _listed(place, choices, listed) if listed else Installing()
    work = Work(place, manifest, choices)
    if manifest.tool != "poetry" and (lock := python_locks.read(place.workspace or place.project, "uv")):
        return _by_uv(work, lock)
    lock = python_locks.read(place.project, manifest.tool, choices.groups)
    if lock and manifest.tool == "pipenv":
        return _by_pipenv(work, lock)
    alone = manifest.packaged and (manifest.scripts or manifest.tool in ("poetry", "pdm", "flit"))
    if listed and not alone and lock is None:
        return _listed(place, choices, listed)
    return _packaged(work, lock) if manifest.packaged else _unpackaged(work, lock)


def _by_uv(work: Work, lock: Lock) -> Installing:
    fit = python_locks.out_of_step(lock, work.manifest.requirements)
    steps, files = _synchronised(work) if lock.foreign else _exported(work, lock)
    if fit.lacking:
        steps += (Step("install", (*INSTALL, *fit.lacking), "Installing what uv.lock lacks"),)
    why = ("uv.lock found", *python_locks.told(lock, fit, "pyproject.toml"))
    packaged = work.manifest.packaged and _is_package_to_uv(work.manifest)
    return Installing(steps, files, {}, lock.file, packaged, why)


def _is_package_to_uv(manifest: Manifest) -> bool:
    told = manifests.within(dict(manifest.pyproject), "tool", "uv").get("package")
    return bool(told) if isinstance(told, bool) else "build-system" in manifest.pyproject


def _chosen_of_uv(work: Work) -> tuple[str, ...]:
    """What of the lock is meant: the default groups without those of development, and what is chosen."""
    place = work.place
    choices = work.choices
    member = () if place.project == (place.workspace or place.project) else ("--package", work.manifest.name)
    extras = (word for extra in choices.extras for word in ("--extra", extra))
    groups = (word for group in choices.groups for word in ("--group", group))
    return (*member, *(() if "dev" in choices.groups else ("--no-dev",)), *extras, *groups)


def _in_workspace(work: Work) -> tuple[str, ...]:
    at = relative(work.place.workspace or work.place.project, work.place.root)
    return ("--directory", at) if at else ()


def _synchronised(work: Work) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Where the lock names other indexes only uv knows which package is from which."""
    words = ("uv", "sync", *_in_workspace(work), "--frozen", "--no-editable", *_chosen_of_uv(work))
    return (Step("install", words, "Installing what uv.lock has"),), ()


def _exported(work: Work, lock: Lock) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """What the lock has of the public index is asked of the index of the settings, as all else is: `uv sync`
    would ask the addresses that stand in the lock, past a mirror."""
    at = _in_workspace(work)
    up = "../" * len(Path(at[1]).parts) if at else ""

    def pair(name: str, *more: str, early: bool) -> tuple[Step, Step]:
        file = f"{up}../{BESIDE}/{name}"
        plain = ("--quiet", "--frozen", "--no-header", "--no-annotate", "--no-editable")
        export = ("uv", "export", *at, *plain, *_chosen_of_uv(work), *more, "-o", file)
        return (
            Step("install", export, "Reading uv.lock", early=early),
            Step("install", (*INSTALL, *at, "--no-deps", "-r", file), PACKAGES, early=early),
        )

    first = pair(LOCKED, "--no-emit-local", early=True)
    return (*first, *(pair(WHOLE, early=False) if lock.local else ())), _manifests_of(work)


def _manifests_of(work: Work) -> tuple[str, ...]:
    """What uv reads of a workspace."""
    place = work.place
    home = place.workspace or place.project
    of_members = (path / "pyproject.toml" for path in place.members.values())
    found = (home / "pyproject.toml", home / "uv.lock", *of_members)
    return tuple(dict.fromkeys(relative(path, place.root) for path in found))


def _by_pipenv(work: Work, lock: Lock) -> Installing:
    """The lock is whole and flat: what it lists is installed, and nothing more."""
    fit = python_locks.out_of_step(lock, work.manifest.requirements)
    text = "".join(pin.line for pin in lock.pins)
    file = f"../{BESIDE}/{LOCKED}"
    indexes = _indexes(work, lock)
    steps: tuple[Step, ...] = ()
    if text:
        words = (*INSTALL, *indexes, "--no-deps", "-r", file)
        steps = (Step("install", words, PACKAGES, early=True),)
    if local := _local(work):
        steps += (Step("install", (*INSTALL, "--no-deps", *local), PROJECT),)
    if fit.lacking:
        steps += (Step("install", (*INSTALL, *indexes, *fit.lacking), "Installing what Pipfile.lock lacks"),)
    why = (f"{lock.file} found", *python_locks.told(lock, fit, "Pipfile"))
    return Installing(steps, (), {LOCKED: text} if text else {}, lock.file, False, why)


def _packaged(work: Work, lock: Lock | None) -> Installing:
    """Its dependencies first, so that they outlive a change of the source, then itself with the rest."""
    manifest, choices = work.manifest, work.choices
    held, why, pins = _held(work, lock)
    # The latter are in the same resolution: they bound what the project brings.
    besides = () if lock else choices.additional
    extras = f"[{','.join(choices.extras)}]" if choices.extras else ""
    beside = dict(pins)
    early: tuple[Step, ...] = ()
    if manifest.requirements:
        beside[DEPENDENCIES] = "".join(f"{line}\n" for line in manifest.requirements)
        words = (*INSTALL, *held, "-r", f"../{BESIDE}/{DEPENDENCIES}", *besides)
        early = (Step("install", words, PACKAGES, early=True),)
    groups = _groups(work)
    own = Step("install", (*INSTALL, *held, f"{work.here}{extras}", *groups, *besides), PROJECT)
    return Installing((*early, own), (), beside, lock.file if lock else "", True, why)


def _unpackaged(work: Work, lock: Lock | None) -> Installing:
    manifest, choices = work.manifest, work.choices
    held, why, pins = _held(work, lock)
    besides = () if lock else choices.additional
    local = _local(work)
    groups = _groups(work)
    if manifest.standard:
        listed = work.within("pyproject.toml")
        extras = tuple(word for extra in choices.extras for word in ("--extra", extra))
        words = (*INSTALL, *held, "-r", listed, *extras, *groups, *besides)
        elsewhere = bool(local) or len(manifest.requirements) != _count(manifest)
        step = Step("install", words, PACKAGES, early=not elsewhere)
        needed = bool(_count(manifest) or groups or besides or choices.extras)
        return Installing(
            (step,) if needed else (), () if elsewhere else (listed,), pins if needed else {},
            lock.file if lock else "", False, why,
        )  # fmt: skip
    lines = [*manifest.requirements, *(each for extra in choices.extras for each in _extra(manifest, extra))]
    if not (lines or local or groups or besides):
        return Installing(lock=lock.file if lock else "", why=why)
    beside = {**pins, DEPENDENCIES: "".join(f"{line}\n" for line in lines)}
    words = (*INSTALL, *held, "-r", f"../{BESIDE}/{DEPENDENCIES}", *local, *groups, *besides)
    step = Step("install", words, PACKAGES, early=not local)
    return Installing((step,), (), beside, lock.file if lock else "", False, why)


def _count(manifest: Manifest) -> int:
    return len(manifests.dependencies(manifests.table(dict(manifest.pyproject), "project")))


def _held(work: Work, lock: Lock | None) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str]]:
    """Words that hold a resolution to the lock, the sentences about it, and the file of its pins."""
    indexes = _indexes(work, lock)
    if lock is None:
        return indexes, (), {}
    fit = python_locks.out_of_step(lock, work.manifest.requirements)
    why = (f"{lock.file} found", *python_locks.told(lock, fit, "pyproject.toml"))
    text = python_locks.constraints(lock, fit.differing)
    if not text:
        return indexes, why, {}
    return (*indexes, "-c", f"../{BESIDE}/{LOCKED}"), why, {LOCKED: text}


def _indexes(work: Work, lock: Lock | None) -> tuple[str, ...]:
    """Asked first, and for what they have alone: uv takes a name from one index only."""
    found = dict.fromkeys((*work.manifest.indexes, *(lock.foreign if lock else ())))
    return tuple(
        word for url in found if url.startswith(("http://", "https://")) for word in ("--index", url)
    )


def _local(work: Work) -> tuple[str, ...]:
    names = (work.within(path) for _, path in work.manifest.local)
    return tuple(dict.fromkeys(name if name == "." else f"./{name}" for name in names))


def _groups(work: Work) -> tuple[str, ...]:
    """Of [dependency-groups] uv reads them itself, and where their names are from; of others here."""
    manifest, words = work.manifest, list[str]()
    standard = manifests.table(dict(manifest.pyproject), "dependency-groups")
    own = {canonicalize_name(name) for name, _ in manifest.local}
    for group in work.choices.groups:
        if group in standard:
            words += ["--group", f"{work.within('pyproject.toml')}:{group}"]
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


def _listed(place: Place, choices: Choices, listed: python_requirements.Listed) -> Installing:
    at = ("--directory", place.member) if place.member else ()
    found = [listed.name, *(python_requirements.of_group(place.project, group) for group in choices.groups)]
    files = python_requirements.files(place.project, [*found, *listed.constraints])
    if not (python_requirements.says_something(place.project, found) or choices.additional):
        return Installing()
    words = [word for name in found for word in ("-r", name)]
    words += [word for name in listed.constraints for word in ("-c", name)]
    step = Step("install", (*INSTALL, *at, *words, *choices.additional), PACKAGES, early=bool(files))
    shown = tuple(place.member + "/" + name if place.member else name for name in files)
    return Installing((step,), shown, {}, "", False, listed.why)
