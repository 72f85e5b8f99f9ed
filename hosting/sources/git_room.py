"""What a checkout may take on the disk: a repository is fetched before anybody knows how large it is."""

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
PAUSE = 0.5  # seconds between two looks; more where a look takes long
SHARE = 10  # of the time at most the tenth part is spent with looking


@dataclass(frozen=True)
class CheckoutLimits:
    """`total_bytes` of objects and files together, submodules among them; `files` of the commit."""

    total_bytes: int = 2 << 30
    files: int = 200_000


class Room:
    """Watches a directory while git fills it. `deadline` ends what obeys it once there is too much."""

    def __init__(self, directory: Path, limits: CheckoutLimits, deadline: Deadline) -> None:
        self._directory, self._limits = directory, limits
        self._next_look = 0.0
        self._is_full = False
        self.deadline = replace(deadline, cancelled=lambda: self._looks_full() or deadline.cancelled())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around what obeys the deadline. Raises `SourceError` where there is too much by then."""
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
        """Yields what is called for each file: a tree of trees names more than any disk or memory holds."""
        seen = 0

        def count(_: str) -> None:
            nonlocal seen
            seen += 1
            if seen > self._limits.files:
                raise SourceError(f"The repository holds more than {self._limits.files} files.")

        yield count

    def left(self) -> int:
        """Bytes."""
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
    """Bytes on the disk; what comes and goes meanwhile may be missed."""
    total = 0
    for name, _, files in os.walk(directory):
        for file in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(name, file)).st_blocks * BLOCK
    return total
