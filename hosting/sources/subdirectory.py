"""Checks the subdirectory of a source: first as text, then again on the disk."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from hosting.errors import SourceError


def check(subdirectory: str, what: str) -> None:
    """Raises `SourceError` for a path that leads out of the source. `what` is “repository” or “archive”."""
    pure = PurePosixPath(subdirectory)
    if pure.is_absolute() or ".." in pure.parts or "\x00" in subdirectory:
        raise SourceError(f"The subdirectory “{subdirectory}” does not lie inside the {what}.")


def within(top: Path, subdirectory: str, what: str) -> Path:
    """Returns the directory, its links resolved. Raises `SourceError` if it is missing or lies outside of
    `top`.

    `what` is the word for the source, as for `check`.
    """
    wanted = top / subdirectory
    if not wanted.is_dir():
        raise SourceError(f"The {what} has no directory “{subdirectory}”.", hint=_beside(top, subdirectory))
    if not wanted.resolve().is_relative_to(top.resolve()):
        raise SourceError(f"The subdirectory “{subdirectory}” leads out of the {what}.")
    return wanted.resolve()


def _beside(top: Path, subdirectory: str) -> str:
    """Returns a sentence with the directories that exist there, which helps where a name is misspelt."""
    there = top
    for part in PurePosixPath(subdirectory).parts:
        if not (there / part).is_dir() or (there / part).is_symlink():
            break
        there = there / part
    names = sorted(each.name for each in there.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not names:
        return ""
    place = there.relative_to(top).as_posix()
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return f"There are, in {'its top' if place == '.' else place}: {shown}."
