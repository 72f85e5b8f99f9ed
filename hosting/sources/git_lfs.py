"""Replaces pointers of Git LFS in a checkout by their content, or refuses the checkout and names the files.

This module speaks the batch API (github.com/git-lfs/git-lfs, docs/api/batch.md) itself. The program git-lfs
would read the repository's configuration, which can name programs to run, and would connect without the
checks of `outbound`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from hosting.deadline import Deadline
from hosting.errors import SourceError
from hosting.process_group import LineSink
from hosting.sources.git_lfs_client import Access, LfsServer, Refused, Wanted
from hosting.sources.origin import SCP_LIKE

LARGEST_POINTER = 1024  # bytes; github.com/git-lfs/git-lfs, docs/spec.md
STARTS = (b"version https://git-lfs.github.com/spec/v1", b"version https://hawser.github.com/spec/v1")
POINTER = re.compile(
    rb"version [^\r\n]+\r?\n(?:ext-[0-9]-[^\r\n]+\r?\n)*"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\r?\nsize (?P<size>[0-9]{1,15})\r?\n?"
)
AT_ONCE = 100  # objects of one batch, as git-lfs does
PATHS_AT_ONCE = 200
SHOWN = 5
QUOTED = re.compile(r"[\x00-\x1f\x7f\"\\]")
KEEP_OUT = "Put them into the repository itself, or leave them out if the server does not need them."

T = TypeVar("T")
# Runs git: (*arguments, cwd=Path) -> the lines of its output; raises `SourceError`
Ask = Callable[..., Sequence[str]]


@dataclass(frozen=True)
class Pointer:
    """A pointer file (docs/spec.md of git-lfs).

    `oid` is "" if it cannot be read; `size` is that of the content.
    """

    path: Path
    oid: str = ""
    size: int = 0


def replace_pointers(
    top: Path, access: Access, *, ask: Ask, deadline: Deadline, log: LineSink, bytes_left: int
) -> None:
    """Replaces every pointer in the checkout at `top` by its content, in submodules too.

    `bytes_left` is how much the content may take. Raises `SourceError` that names the files, `Cancelled`,
    `TimedOut`.
    """
    for root, candidates in _by_repository(top, deadline).items():
        kept = _tracked(root, candidates, ask)
        for pointer in candidates:
            if pointer not in kept:
                log(
                    f"{_name(pointer, top)} looks like a pointer of Git LFS; no attribute says that it is one"
                )
        if kept:
            bytes_left -= _fill(top, root, kept, access, ask, deadline, log, bytes_left)


def log_pointers(top: Path, *, deadline: Deadline, log: LineSink) -> None:
    """Logs the pointers in an unpacked archive. Nothing tells where their content is, so none is fetched."""
    found = [pointer for pointers in _by_repository(top, deadline).values() for pointer in pointers]
    if found:
        names = _shown([_name(pointer, top) for pointer in found])
        log(f"Pointers of Git LFS in place of content, which the archive does not hold: {names}")


def _by_repository(top: Path, deadline: Deadline) -> dict[Path, list[Pointer]]:
    """Returns possible pointers by their repository or submodule, whose attributes tell whether they are
    pointers.
    """
    found: dict[Path, list[Pointer]] = {}
    roots: dict[Path, Path] = {}
    for name, directories, files in os.walk(top):
        deadline.check()
        directory = Path(name)
        owns = directory == top or ".git" in files
        roots[directory] = directory if owns else roots[directory.parent]
        directories[:] = [each for each in directories if each != ".git"]
        for pointer in filter(None, map(_read, (directory / each for each in files))):
            found.setdefault(roots[directory], []).append(pointer)
    return found


def _read(path: Path) -> Pointer | None:
    if path.is_symlink() or not path.is_file() or path.stat().st_size >= LARGEST_POINTER:
        return None
    content = path.read_bytes()
    if not content.startswith(STARTS):
        return None
    match = POINTER.fullmatch(content)
    return Pointer(path, match["oid"].decode(), int(match["size"])) if match else Pointer(path)


def _tracked(root: Path, pointers: list[Pointer], ask: Ask) -> list[Pointer]:
    """Returns the pointers that .gitattributes gives to the lfs filter.

    git quotes unusual names in its output; a file with such a name counts as a pointer.
    """
    found = []
    for part in _parts(pointers, PATHS_AT_ONCE):
        names = [_name(pointer, root) for pointer in part]
        lines = set(ask("-c", "core.quotePath=false", "check-attr", "filter", "--", *names, cwd=root))
        given = zip(part, names, strict=True)
        found += [
            pointer for pointer, name in given if QUOTED.search(name) or f"{name}: filter: lfs" in lines
        ]
    return found


def _fill(
    top: Path,
    root: Path,
    pointers: list[Pointer],
    access: Access,
    ask: Ask,
    deadline: Deadline,
    log: LineSink,
    bytes_left: int,
) -> int:
    """Downloads the content of `pointers` and returns the bytes that were added."""
    wanted = sum({pointer.oid: pointer.size for pointer in pointers}.values())
    names = [_name(pointer, top) for pointer in pointers]
    try:
        _check(pointers, wanted, bytes_left)
        url = _endpoint(root, ask)
        log(f"Fetching {_shown(names)} from Git LFS ({wanted} bytes)")
        with LfsServer(url, access, deadline) as server:
            for part in _parts(_by_content(pointers), AT_ONCE):
                _take(server, part)
    except Refused as error:
        raise _refusal(names, error) from error
    return sum(pointer.size for pointer in pointers)


def _check(pointers: list[Pointer], wanted: int, bytes_left: int) -> None:
    if damaged := [pointer for pointer in pointers if not pointer.oid]:
        raise Refused(f"the pointer {damaged[0].path.name} cannot be read")
    if sum(pointer.size for pointer in pointers) > bytes_left:
        raise Refused(f"with their {wanted >> 20} MiB the checkout is larger than GIT_MAX_BYTES allows")


def _by_content(pointers: list[Pointer]) -> list[list[Pointer]]:
    same: dict[str, list[Pointer]] = {}
    for pointer in pointers:
        same.setdefault(pointer.oid, []).append(pointer)
    return list(same.values())


def _parts(whole: list[T], length: int) -> Iterator[list[T]]:
    return (whole[start : start + length] for start in range(0, len(whole), length))


def _take(server: LfsServer, groups: list[list[Pointer]]) -> None:
    downloads = server.ask([Wanted(group[0].oid, group[0].size) for group in groups])
    for group in groups:
        with tempfile.TemporaryFile(dir=group[0].path.parent) as content:
            server.download(downloads[group[0].oid], content)
            for pointer in group:
                content.seek(0)
                with pointer.path.open("wb") as target:  # keeps the file mode that git has set
                    shutil.copyfileobj(content, target, 1 << 20)


def _endpoint(root: Path, ask: Ask) -> str:
    """Returns the URL of the repository's LFS server (docs/api/server-discovery.md). Raises `Refused`."""
    configured = root / ".lfsconfig"
    if configured.is_file() and not configured.is_symlink():
        [url, *_] = ask("config", "--file", ".lfsconfig", "--default", "", "--get", "lfs.url", cwd=root)
        if url:
            return url.rstrip("/")
    [remote, *_] = ask("config", "--get", "remote.origin.url", cwd=root)
    if found := SCP_LIKE.fullmatch(remote):
        path = remote.partition(":")[2]
        return _of_server(f"https://{found['host']}/{path}")
    parts = urlsplit(remote)
    if parts.scheme == "ssh":
        return _of_server(f"https://{parts.hostname}{parts.path}")
    if parts.scheme in ("https", "http"):
        return _of_server(remote)
    raise Refused(f"a repository that is reached by {parts.scheme or 'a path'} has no LFS server")


def _of_server(url: str) -> str:
    bare = url.rstrip("/")
    return f"{bare}{'' if bare.endswith('.git') else '.git'}/info/lfs"


def _name(pointer: Pointer, top: Path) -> str:
    return pointer.path.relative_to(top).as_posix()


def _shown(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(sorted(names)[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _refusal(names: list[str], error: Refused) -> SourceError:
    verb = "are" if len(names) > 1 else "is"
    return SourceError(
        f"{_shown(names)} {verb} kept in Git LFS, and could not be fetched: {error}.",
        hint=error.hint or KEEP_OUT,
        permanent=error.permanent,
    )
