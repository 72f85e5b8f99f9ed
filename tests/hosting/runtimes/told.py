"""Counts what a runtime tells, and waits for it."""

from __future__ import annotations

import threading


class Told:
    """A `changed`: how often it was called, and a way to wait for the next call."""

    def __init__(self) -> None:
        self.times = 0
        self._more = threading.Semaphore(0)

    def __call__(self) -> None:
        self.times += 1
        self._more.release()

    def soon(self) -> bool:
        """Whether it is called within a minute, once more than was waited for before."""
        return self._more.acquire(timeout=60)


def threads(name: str) -> list[threading.Thread]:
    """The threads whose name begins so."""
    return [each for each in threading.enumerate() if each.name.startswith(name)]
