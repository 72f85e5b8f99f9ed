"""What every long step obeys: when to give up, and whether someone asked to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hosting.errors import Cancelled, TimedOut

ON_REQUEST = "Cancelled on request."


def _never() -> bool:
    return False


def _on_request() -> str:
    return ON_REQUEST


@dataclass(frozen=True)
class Deadline:
    """A deadline (`time.monotonic()` seconds) and a cheap, thread-safe question whether to stop now."""

    end: float
    cancelled: Callable[[], bool] = field(default=_never, repr=False)
    what: str = "deployment"
    why: Callable[[], str] = field(default=_on_request, repr=False)  # asked once it is cancelled

    @classmethod
    def of(
        cls, seconds: float, cancelled: Callable[[], bool] = _never, why: Callable[[], str] = _on_request
    ) -> Deadline:
        return cls(time.monotonic() + seconds, cancelled, why=why)

    def within(self, seconds: float, what: str) -> Deadline:
        """The same deadline, at most `seconds` long, named for the error that its end raises."""
        end = time.monotonic() + seconds
        return self if end >= self.end else replace(self, end=end, what=what)

    def remaining(self) -> float:
        return max(0.0, self.end - time.monotonic())

    def check(self) -> None:
        """Raises `Cancelled` or `TimedOut`."""
        if self.cancelled():
            raise Cancelled(self.why())
        if not self.remaining():
            raise TimedOut(f"The {self.what} took longer than it may.")
