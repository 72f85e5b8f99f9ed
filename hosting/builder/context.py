"""Makes the directory of a build: the source under app/, and beside it what the platform adds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hosting.build_settings import BuildSettings
from hosting.builder import dockerfile, portable
from hosting.errors import BuildError
from hosting.runtimes.base import Transport
from hosting.sources import manifests
from hosting.sources.base import BuildContext
from hosting.sources.plan import BESIDE, Plan
from registry.reasons import Reason, is_full

IGNORED = (".git", "**/.git", "**/__pycache__", "**/*.pyc", "**/node_modules", ".venv", "venv", ".env")


@dataclass(frozen=True)
class Prepared:
    """A build context, the absolute path of its Dockerfile, the stage to build, and the build arguments."""

    context: Path
    dockerfile: Path
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


def prepare(
    context: BuildContext,
    plan: Plan,
    into: Path,
    *,
    transport: Transport,
    settings: BuildSettings,
    bridge: Path,
) -> Prepared:
    """Prepares a source for its build. One with its own Dockerfile is built where it is; for others the
    context is made in `into`.

    `bridge` is the directory of the bridge package. Raises `BuildError`.
    """
    root = context.top / plan.root
    if plan.ecosystem == "dockerfile":
        return Prepared(root, context.top / plan.dockerfile, plan.target, plan.arguments)
    with filling(into):
        copy_tree(root, into / dockerfile.APP, link=True)
        write_beside(plan, into)
        if transport == "stdio":
            copy_tree(bridge, into / dockerfile.BRIDGE)
        _write(into / ".dockerignore", _ignore_file(root))
        return Prepared(
            into,
            _write(into / "Dockerfile", dockerfile.render(plan, transport=transport, settings=settings)),
        )


def prepare_wrapper(
    base: str,
    entrypoint: Sequence[str],
    command: Sequence[str],
    into: Path,
    *,
    settings: BuildSettings,
    bridge: Path,
) -> Prepared:
    """Makes in `into` the context for `dockerfile.render_wrapper`. Raises `BuildError`."""
    if not entrypoint and not command:
        raise BuildError(
            "The image does not say what it starts: it has neither an ENTRYPOINT nor a CMD.",
            hint="Set the server's command.",
        )
    text = dockerfile.render_wrapper(base, entrypoint, command, settings=settings)
    with filling(into):
        copy_tree(bridge, into / dockerfile.BRIDGE)
        _write(into / dockerfile.PORTABLE, Path(portable.__file__).read_text("utf-8"))
        return Prepared(into, _write(into / "Dockerfile", text))


def write_beside(plan: Plan, into: Path) -> None:
    """Writes the files that the steps of the plan expect beside the source."""
    if plan.beside:
        (into / BESIDE).mkdir(mode=0o755)
    for name, text in plan.beside.items():
        _write(into / BESIDE / name, text)


@contextmanager
def filling(into: Path) -> Iterator[None]:
    """Creates the directory `into`, and raises an OSError inside as a `BuildError`."""
    try:
        into.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:  # shutil.Error is one too
        raise unwritable(error) from error


def unwritable(error: OSError) -> BuildError:
    """The error for an OSError in a build directory."""
    if is_full(error):
        return no_space()
    return BuildError(
        f"The build directory could not be written: {error.strerror or 'copying failed'}.",
        hint="Check that DATA_DIR is writable, and has space and inodes left.",
    )


def no_space() -> BuildError:
    """The error for a full disk."""
    return BuildError(
        "The disk filled up during the build.",
        hint="Free some space where DATA_DIR lies and on the engine's disk (docker system df shows what it "
        "holds); then try again.",
        reason=Reason.FULL,
        permanent=False,
    )


def copy_tree(source: Path, target: Path, *, link: bool = False) -> None:
    """Copies `source` to the new directory `target`. Symlinks stay symlinks, and every user may read the
    copy.

    `link` makes hard links where the file system allows it. It is for trees that nobody changes afterwards.
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


def _ignore_file(context: Path) -> str:
    """Our rules and then those of the source's own .dockerignore, for a source that is now under app/."""
    lines = list(IGNORED)
    if manifests.has(context, ".dockerignore"):
        lines += manifests.read(context, ".dockerignore").splitlines()
    return "".join(f"{_moved(line.strip())}\n" for line in lines if _says_something(line))


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _moved(pattern: str) -> str:
    negated, bare = pattern.startswith("!"), pattern.removeprefix("!").strip()
    return f"{'!' if negated else ''}{dockerfile.APP}/{bare.removeprefix('./').lstrip('/')}"
