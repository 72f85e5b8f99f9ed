"""How long to wait before a server that keeps failing is started again."""

from __future__ import annotations

import time

FIRST_SECONDS, MOST_SECONDS = 0.5, 30.0


class Backoff:
    """No wait after the first failure; then 0.5, 1, 2 … 30 seconds, until a success."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0

    def failed(self) -> None:
        self._failures += 1
        if self._failures > 1:
            wait = FIRST_SECONDS * 2.0 ** min(self._failures - 2, 10)
            self._until = time.monotonic() + min(MOST_SECONDS, wait)

    def succeeded(self) -> None:
        self._failures, self._until = 0, 0.0

    @property
    def remaining(self) -> float:
        """Seconds until the next start; 0 when it may start now."""
        return max(0.0, self._until - time.monotonic())
