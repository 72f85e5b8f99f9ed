"""When a long step has to give up: its time is over, or somebody has asked to stop it."""

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
    """When a step ends at the latest (`end`, in seconds of `time.monotonic()`).

    `cancelled` tells whether somebody has asked to stop; it must be cheap and thread-safe. `why` is
    called after that for the sentence of the error. `what` names the step in the error for a timeout.
    """

    end: float
    cancelled: Callable[[], bool] = field(default=_never, repr=False)
    what: str = "deployment"
    why: Callable[[], str] = field(default=_on_request, repr=False)

    @classmethod
    def of(
        cls, seconds: float, cancelled: Callable[[], bool] = _never, why: Callable[[], str] = _on_request
    ) -> Deadline:
        """A deadline that ends `seconds` from now."""
        return cls(time.monotonic() + seconds, cancelled, why=why)

    def within(self, seconds: float, what: str) -> Deadline:
        """The deadline for a part of the step, named `what` in errors: it ends in `seconds`, or is this one
        where this one ends first.
        """
        end = time.monotonic() + seconds
        return self if end >= self.end else replace(self, end=end, what=what)

    def remaining(self) -> float:
        """Seconds until the end, never less than 0."""
        return max(0.0, self.end - time.monotonic())

    def check(self) -> None:
        """Raises `Cancelled` when a stop was requested, `TimedOut` when the time is over."""
        if self.cancelled():
            raise Cancelled(self.why())
        if not self.remaining():
            raise TimedOut(f"The {self.what} took longer than it may.")
