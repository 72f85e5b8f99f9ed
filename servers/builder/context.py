"""Puts a build directory together: the user's tree under app/, and what we add beside it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers.builder import dockerfile
from servers.builder.base import BuildSettings
from servers.errors import BuildError
from servers.runtimes.base import Transport
from servers.sources import manifests
from servers.sources.base import BuildContext, Recipe

IGNORED = (".git", "**/.git", "**/__pycache__", "**/*.pyc", "**/node_modules", ".venv", "venv", ".env")


@dataclass(frozen=True)
class Prepared:
    """A directory to build from, and the Dockerfile to build with (absolute)."""

    context: Path
    dockerfile: Path


def prepare(
    context: BuildContext,
    recipe: Recipe,
    into: Path,
    *,
    transport: Transport,
    settings: BuildSettings,
    bridge: Path,
) -> Prepared:
    """A source with its own Dockerfile is built as it is; for others `into` becomes the build directory.

    `bridge` is the directory of the bridge. Raises `BuildError`.
    """
    if recipe.kind == "dockerfile":
        return Prepared(context.path, context.path / recipe.dockerfile)
    with filling(into):
        copy_tree(context.path, into / dockerfile.APP, link=True)
        _write_dependencies(context.path, recipe, into)
        if transport == "stdio":
            copy_tree(bridge, into / dockerfile.BRIDGE)
        _write(into / ".dockerignore", _ignore_file(context.path))
        return Prepared(
            into,
            _write(into / "Dockerfile", dockerfile.render(recipe, transport=transport, settings=settings)),
        )


def prepare_wrapper(
    base: str, entrypoint: Sequence[str], command: Sequence[str], into: Path, *, bridge: Path
) -> Prepared:
    """The build directory of `dockerfile.render_wrapper`. Raises `BuildError`."""
    with filling(into):
        copy_tree(bridge, into / dockerfile.BRIDGE)
        _write(into / dockerfile.ENTRY, dockerfile.entry_script())
        return Prepared(
            into, _write(into / "Dockerfile", dockerfile.render_wrapper(base, entrypoint, command))
        )


@contextmanager
def filling(into: Path) -> Iterator[None]:
    """Makes the directory `into`; an OSError while it is filled leaves as `BuildError`."""
    try:
        into.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:  # shutil.Error is one too
        raise unwritable(error) from error


def unwritable(error: OSError) -> BuildError:
    """What an OSError in a build directory means to the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return no_space()
    return BuildError(
        f"The build directory could not be written: {error.strerror or 'copying failed'}.",
        hint="Check that DATA_DIR is writable, and has space and inodes left.",
    )


def no_space() -> BuildError:
    return BuildError(
        "The disk filled up during the build.",
        hint="Free some space where DATA_DIR lies and on the engine's disk (docker system df shows what it "
        "holds); then try again.",
        permanent=False,
    )


def copy_tree(source: Path, target: Path, *, link: bool = False) -> None:
    """Copies `source` to the new directory `target`, symlinks as they are, readable for every user.

    With `link` files are hard links where that works: for trees that nothing changes afterwards.
    """
    shutil.copytree(
        source,
        target,
        symlinks=True,
        ignore=shutil.ignore_patterns(".git", "__pycache__"),
        copy_function=_link if link else shutil.copy2,
    )
    for directory, _, files in os.walk(target):
        Path(directory).chmod(0o755)
        for path in (Path(directory, name) for name in files):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o444)


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target)
    return target


def _write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    path.chmod(0o644)
    return path


def _write_dependencies(context: Path, recipe: Recipe, into: Path) -> None:
    """What pyproject.toml lists, as a file of its own: its layer then outlives changes of the source."""
    if recipe.kind == "python" and recipe.files == ("pyproject.toml",):
        project = manifests.table(manifests.pyproject(context), "project")
        wanted = [line for line in manifests.dependencies(project) if not manifests.LOCAL.search(line)]
        _write(into / dockerfile.DEPENDENCIES, "".join(f"{line}\n" for line in wanted))


def _ignore_file(context: Path) -> str:
    """The user's own .dockerignore, for a tree that moved down to app/, after ours."""
    lines = list(IGNORED)
    if manifests.has(context, ".dockerignore"):
        lines += manifests.read(context, ".dockerignore").splitlines()
    return "".join(f"{_moved(line.strip())}\n" for line in lines if _says_something(line))


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _moved(pattern: str) -> str:
    negated, bare = pattern.startswith("!"), pattern.removeprefix("!").strip()
    return f"{'!' if negated else ''}{dockerfile.APP}/{bare.removeprefix('./').lstrip('/')}"
