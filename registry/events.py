"""How the library tells what it does: events for machines, lines for people, and a deadline that holds it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class RegistryEvent:
    """`type` and `details` are the telemetry contract's `event_type` and keys, unchanged."""

    type: str
    details: dict[str, Any]


Report = Callable[[RegistryEvent], None]
Line = Callable[[str], None]


class Control(Protocol):
    """The caller's deadline. `check` raises when the work was cancelled or its time is over."""

    def check(self) -> None: ...

    def remaining(self) -> float: ...


class NeverCancelled:
    """A control that never stops anything, for callers without one."""

    def check(self) -> None:
        return

    def remaining(self) -> float:
        return float("inf")


class Stopwatch:
    """Milliseconds since it was made, for `duration_ms`."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def ms(self) -> int:
        return round((time.monotonic() - self._begin) * 1000)
