"""Finds the workspace of a Node package: its root, its packages, and which of them each one needs.

A "part" is a package of the workspace.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from hosting import globs
from hosting.errors import SourceError
from hosting.sources import manifests, node_versions

GROUPS = ("dependencies", "optionalDependencies", "devDependencies", "peerDependencies")
LOCAL = ("file:", "link:", "portal:", "./", "../", "/", "~/")
SKIPPED = {"node_modules", ".git", ".yarn", ".pnpm-store"}
MOST_DIRECTORIES = 20_000
MOST_PATTERNS = 200
LONGEST_PATTERN = 300


@dataclass(frozen=True)
class Part:
    """A package of the workspace. `path` is from the root, "" for the root; `package` is its package.json."""

    path: str
    package: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.package.get("name", ""))

    @property
    def scripts(self) -> dict[str, Any]:
        return manifests.table(dict(self.package), "scripts")

    @property
    def shown(self) -> str:
        """The name for people."""
        return self.name or self.path or "the root"


@dataclass(frozen=True)
class Workspace:
    """`root` is absolute; `own` is the root's package, `parts` maps the paths of the others to them.

    It has no parts if it is one package alone. `listed` tells that the root lists its parts (the field
    `workspaces`, or pnpm-workspace.yaml), so that the manager installs them.
    """

    root: Path
    own: Part
    parts: Mapping[str, Part] = field(default_factory=dict)
    listed: bool = False

    def of_name(self, name: str) -> Part | None:
        """Returns the part of that name; None if there is none."""
        return next((part for part in self.parts.values() if part.name == name), None)

    def part(self, path: str) -> Part:
        """Returns the part at that path; the root's own if there is none."""
        return self.parts.get(path, self.own)

    def local(self, of: Part) -> list[Part]:
        """Returns the parts that `of` needs, directly or indirectly, each after those that
        it needs itself.
        """
        found: dict[str, Part] = {}
        self._collect(of, found, {of.path})
        return list(found.values())

    def _collect(self, of: Part, found: dict[str, Part], seen: set[str]) -> None:
        for name, spec in specs(of.package):
            part = self._local(of, name, spec)
            if part and part.path not in seen:
                seen.add(part.path)
                self._collect(part, found, seen)
                found[part.path] = part

    def _local(self, of: Part, name: str, spec: str) -> Part | None:
        if spec.startswith(LOCAL):
            return self.parts.get(_joined(of.path, path_of(spec)))
        return None if spec.startswith(("npm:", "git", "http")) else self.of_name(name)


def specs(package: Mapping[str, Any], groups: tuple[str, ...] = GROUPS) -> Iterator[tuple[str, str]]:
    """Yields (name, range) of the dependencies in these groups of a package.json."""
    for group in groups:
        for name, spec in manifests.table(dict(package), group).items():
            yield name, str(spec)


def path_of(spec: str) -> str:
    """Returns the path in a local dependency such as `file:../core`."""
    return spec.partition(":")[2] if spec.startswith(LOCAL[:3]) else spec


def find(at: Path, top: Path) -> Workspace:
    """Finds the workspace of the directory `at` in the source `top`: the nearest parent that lists it.

    Without one, the result is one package, with the directories that it depends on as parts. Raises
    `SourceError`.
    """
    for root in (at, *at.parents):
        if not root.is_relative_to(top):
            break
        found = _at(root)
        if found and (root == at or at.relative_to(root).as_posix() in found.parts):
            return found
    return _around(at, top)


def _at(root: Path) -> Workspace | None:
    if not (manifests.has(root, "package.json") or manifests.has(root, "pnpm-workspace.yaml")):
        return None
    package = manifests.package_json(root)
    wanted = patterns(root, package)
    parts = {path: Part(path, manifests.package_json(root / path)) for path in _matching(root, wanted)}
    return Workspace(root, Part("", package), parts, listed=True) if parts else None


def _around(at: Path, top: Path) -> Workspace:
    """Returns one package alone, with the directories that it depends on (`file:../core`) as parts."""
    root, package = at, manifests.package_json(at)
    neighbours = list(_neighbours(at, top, package, {at}))
    for path in neighbours:
        while not path.is_relative_to(root):
            root = root.parent
    parts = {
        path.relative_to(root).as_posix(): Part(
            path.relative_to(root).as_posix(), manifests.package_json(path)
        )
        for path in (*neighbours, *([at] if root != at else []))
    }
    own = Part("", manifests.package_json(root))
    return Workspace(root, own, parts if root != at else {})


def _neighbours(at: Path, top: Path, package: Mapping[str, Any], seen: set[Path]) -> Iterator[Path]:
    for name, spec in specs(package, GROUPS[:3]):
        if spec.startswith(LOCAL):
            path = (at / path_of(spec)).resolve()
            if not path.is_relative_to(top.resolve()):
                raise SourceError(
                    f"{name} ({spec}) leads out of the source: it cannot be installed here.",
                    hint="Name a version of it that is published, or bring its directory along.",
                )
            if path.is_dir() and path not in seen:
                seen.add(path)
                yield path
                yield from _neighbours(path, top, manifests.package_json(path), seen)


def patterns(root: Path, package: Mapping[str, Any]) -> list[str]:
    """Returns the patterns by which a workspace's root lists the directories of its parts."""
    found: Any = package.get("workspaces")
    if isinstance(found, dict):
        found = found.get("packages")
    listed = yaml_of(root, "pnpm-workspace.yaml").get("packages") or found
    texts = [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    spread = [one for text in texts for one in _spread(text[:LONGEST_PATTERN])]
    return [text.removeprefix("./").rstrip("/") for text in spread[:MOST_PATTERNS]]


def _spread(text: str) -> list[str]:
    """Expands `{a,b}`, for one pair of braces."""
    before, opened, rest = text.partition("{")
    inner, closed, after = rest.partition("}")
    return [before + each + after for each in inner.split(",")] if opened and closed else [text]


def yaml_of(directory: Path, name: str) -> dict[str, Any]:
    """Returns the mapping in a YAML file; {} if there is none. Raises `SourceError` if it is invalid."""
    if not manifests.has(directory, name):
        return {}
    try:
        found = yaml.safe_load(manifests.read(directory, name))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise SourceError(f"{name} cannot be read: it is no YAML{line}.") from None
    return found if isinstance(found, dict) else {}


def _matching(root: Path, wanted: list[str]) -> Iterator[str]:
    if not wanted:
        return
    yes = globs.of_paths(tuple(text for text in wanted if not text.startswith("!")))
    no = globs.of_paths(tuple(text[1:].removeprefix("./") for text in wanted if text.startswith("!")))
    for path in _packages(root):
        if yes.match(path) and not no.match(path):
            yield path


def _packages(root: Path) -> Iterator[str]:
    for directory, below, files in itertools.islice(os.walk(root), MOST_DIRECTORIES):
        below[:] = sorted(name for name in below if name not in SKIPPED)
        path = Path(directory).relative_to(root).as_posix()
        if "package.json" in files and path != "." and manifests.has(root, f"{path}/package.json"):
            yield path


def _joined(base: str, path: str) -> str:
    return PurePosixPath(os.path.normpath(PurePosixPath(base) / path)).as_posix()


def must_be_local(workspace: Workspace, of: Part, *, locked: bool) -> None:
    """Raises `SourceError` if a registry would be asked for a name that belongs to the workspace.

    Anybody may have published a package of that name there (dependency confusion). `locked` tells that a lock
    file pins the versions.
    """
    for name, spec in specs(of.package, GROUPS[:3]):
        local = workspace.of_name(name)
        if spec.startswith("workspace:") and not local:
            raise SourceError(
                f"{of.shown} depends on {name} ({spec}), which no workspace around it has.",
                hint="Deploy from the workspace's own repository, with the directory of the server as its "
                "subdirectory.",
            )
        if local and not locked and not _takes(spec, str(local.package.get("version", ""))):
            raise SourceError(
                f"{of.shown} asks for {name} {spec}, but the workspace has {local.package.get('version')}: "
                "the public index would be asked for a name that is the workspace's own.",
                hint="Write workspace:* or a range that fits, or commit the lock.",
            )


def _takes(spec: str, version: str) -> bool:
    if spec.startswith(("workspace:", "npm:", "catalog:", *LOCAL)) or spec in ("", "*", "latest"):
        return True
    wanted = node_versions.bounds(spec)
    return not wanted or node_versions.fits(version or "0.0.0", spec)
