"""Locates a Python project in its source, and the directories of the source that it needs."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from hosting.errors import SourceError
from hosting.sources import manifests, python_manifest
from hosting.sources.base import BuildContext
from hosting.sources.plan import Choices

MOST_MEMBERS, MOST_LOCAL = 500, 200
LOCAL_LINE = re.compile(
    r"^(?:(?:-e|--editable)[\s=]+)?(?:file:(?://)?)?(?P<path>\.{1,2}(?:/[^\s;\[]*)?)(?:[\s;\[]|$)"
)


@dataclass(frozen=True)
class Place:
    """Absolute paths: `top` of the source, `root` that is copied, `project` that is installed and started.

    `workspace` is the root of the uv workspace that contains the project, None for none; `members` maps the
    names of its packages to their directories.
    """

    top: Path
    root: Path
    project: Path
    workspace: Path | None = None
    members: Mapping[str, Path] = field(default_factory=dict)

    @property
    def root_name(self) -> str:
        """The path from the top to the root; "" for the top."""
        return relative(self.root, self.top)

    @property
    def member(self) -> str:
        """The path from the root to the project; "" for the root."""
        return relative(self.project, self.root)


def relative(path: Path, to: Path) -> str:
    """Returns the path from `to` to `path`; "" if they are the same."""
    found = path.relative_to(to).as_posix()
    return "" if found == "." else found


def locate(context: BuildContext, choices: Choices) -> Place:
    """Locates the project. The root is the smallest directory that holds all that the project needs.

    Raises `SourceError`.
    """
    top = context.top.resolve()
    start = top / manifests.directory(top, choices.root) if choices.root else context.path.resolve()
    workspace = _workspace_of(start, top)
    members = _members(workspace) if workspace else {}
    project = _chosen(start, members, choices.member, workspace)
    root = _common([workspace or project, *needed(project, top), *([start] if choices.root else [])])
    return Place(top, root, project, workspace, members)


def _chosen(start: Path, members: Mapping[str, Path], member: str, workspace: Path | None) -> Path:
    if not member:
        return start
    for name, path in members.items():
        if member == name or canonicalize_name(member) == canonicalize_name(name):
            return path
    for base in filter(None, (start, workspace)):
        if (base / member).is_dir():
            return base / manifests.directory(base, member)
    there = f"There are: {', '.join(sorted(members))}." if members else ""
    raise SourceError(f"The source has no part “{member}”.", hint=there)


def _workspace_of(start: Path, top: Path) -> Path | None:
    """Returns the workspace's root by uv's rule: the nearest parent whose workspace has `start`
    as a member.
    """
    for directory in (start, *start.parents):
        if not directory.is_relative_to(top):
            return None
        table = manifests.within(manifests.pyproject(directory), "tool", "uv", "workspace")
        if table and (directory == start or start in _members(directory).values()):
            return directory
    return None


def _members(workspace: Path) -> dict[str, Path]:
    table = manifests.within(manifests.pyproject(workspace), "tool", "uv", "workspace")
    excluded = set(_matching(workspace, manifests.texts(table, "exclude")))
    found = {}
    for path in _matching(workspace, manifests.texts(table, "members")):
        if path not in excluded and manifests.has(workspace, f"{relative(path, workspace)}/pyproject.toml"):
            project = manifests.table(manifests.pyproject(path), "project")
            found[str(project.get("name") or path.name)] = path
    return found


def _matching(workspace: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        parts = PurePosixPath(pattern).parts
        if not parts or pattern.startswith("/") or ".." in parts or parts.count("**") > 1:
            continue
        try:
            found = itertools.islice(workspace.glob(pattern), MOST_MEMBERS)
            yield from (path for path in found if path.is_dir() and path.resolve() == path)
        except (ValueError, NotImplementedError, OSError):
            continue


def needed(project: Path, top: Path) -> tuple[Path, ...]:
    """Returns the directories of the source that the project depends on, directly or indirectly.

    Raises `SourceError` for a directory outside of the source.
    """
    found: dict[Path, None] = {}
    waiting = [project]
    while waiting and len(found) < MOST_LOCAL:
        directory = waiting.pop()
        for name in _local_paths(directory):
            path = Path(os.path.normpath(directory / name))
            if not path.resolve().is_relative_to(top):
                raise SourceError(
                    f"The project depends on {name}, which is not in the source.",
                    hint="Take it into the repository or the archive, or deploy from the directory above.",
                )
            if path.exists() and path not in found and path != project:
                found[path] = None
                waiting += [path] if path.is_dir() else []
    return tuple(found)


def _local_paths(directory: Path) -> list[str]:
    manifest = python_manifest.read(directory)
    if manifest and manifest.local:
        return [path for _, path in manifest.local]
    return local_lines(directory, "requirements.txt") if manifest is None else []


def local_lines(directory: Path, name: str) -> list[str]:
    """Returns the directories that a requirements file names."""
    if not manifests.has(directory, name):
        return []
    lines = map(LOCAL_LINE.match, manifests.requirement_lines(manifests.read(directory, name)))
    return [found["path"] for found in lines if found]


def _common(paths: list[Path]) -> Path:
    directories = [path if path.is_dir() else path.parent for path in paths]
    return Path(os.path.commonpath(directories))
