"""The callbacks of the library: events for machines, lines for people, and the caller's deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class RegistryEvent:
    """An event. `type` and `details` are the `event_type` and the keys of the telemetry contract."""

    type: str
    details: dict[str, Any]


Report = Callable[[RegistryEvent], None]
Line = Callable[[str], None]


class Control(Protocol):
    """The caller's deadline."""

    def check(self) -> None:
        """Raises if the work was cancelled or its time is over."""
        ...

    def remaining(self) -> float:
        """Returns the seconds that are left."""
        ...


class NeverCancelled:
    """A control that never stops the work, for callers without one."""

    def check(self) -> None:
        return

    def remaining(self) -> float:
        return float("inf")


class Stopwatch:
    """Measures milliseconds since it was made, for `duration_ms`."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def ms(self) -> int:
        return round((time.monotonic() - self._begin) * 1000)
