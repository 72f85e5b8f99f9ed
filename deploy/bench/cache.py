"""The user's cache directory: what is slow to prepare is kept there, outside the repository."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def cache_directory() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = home / "mcphost"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextlib.contextmanager
def cache_lock(name: str) -> Iterator[None]:
    """A lock for all test suites of this user: only one of them prepares at a time."""
    with (cache_directory() / f"{name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
