"""Limits the disk space of a checkout: nobody knows the size of a repository before it is fetched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hosting.deadline import Deadline
from hosting.errors import Cancelled, SourceError

BLOCK = 512  # bytes of `st_blocks`, stat(2)
PAUSE = 0.5  # seconds between two measurements; more where one takes long
SHARE = 10  # measuring takes at most one tenth of the time


@dataclass(frozen=True)
class CheckoutLimits:
    """`total_bytes` bounds objects and files together, with submodules; `files` the number of files of the
    commit.
    """

    total_bytes: int = 2 << 30
    files: int = 200_000


class DiskQuota:
    """Measures a directory while git writes to it.

    A program that obeys `deadline` is stopped once it is too large.
    """

    def __init__(self, directory: Path, limits: CheckoutLimits, deadline: Deadline) -> None:
        self._directory, self._limits = directory, limits
        self._next_look = 0.0
        self._is_full = False
        self.deadline = replace(deadline, cancelled=lambda: self._looks_full() or deadline.cancelled())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Wraps the run of a program that obeys `deadline`.

        Raises `SourceError` if the directory is then too large.
        """
        try:
            yield
        except Cancelled:
            if self._is_full:
                raise self._too_large() from None
            raise
        self._next_look = 0.0
        if self._looks_full():
            raise self._too_large()

    @contextmanager
    def counting_files(self) -> Iterator[Callable[[str], None]]:
        """Yields a function to call with each file name of the commit; it raises `SourceError` past the
        limit.

        A small tree that contains itself many times can name more files than any disk holds.
        """
        seen = 0

        def count(_: str) -> None:
            nonlocal seen
            seen += 1
            if seen > self._limits.files:
                raise SourceError(f"The repository holds more than {self._limits.files} files.")

        yield count

    def bytes_left(self) -> int:
        """Returns the bytes that may still be written."""
        return max(0, self._limits.total_bytes - _taken(self._directory))

    def _looks_full(self) -> bool:
        now = time.monotonic()
        if not self._is_full and now >= self._next_look:
            self._is_full = _taken(self._directory) > self._limits.total_bytes
            after = time.monotonic()
            self._next_look = after + max(PAUSE, SHARE * (after - now))
        return self._is_full

    def _too_large(self) -> SourceError:
        return SourceError(
            f"The repository takes more than {self._limits.total_bytes >> 20} MiB, its objects among them.",
            hint="Leave large files out of it, or raise GIT_MAX_BYTES.",
        )


def _taken(directory: Path) -> int:
    """Returns bytes on the disk; files that appear or disappear meanwhile may not be counted."""
    total = 0
    for name, _, files in os.walk(directory):
        for file in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(name, file)).st_blocks * BLOCK
    return total
