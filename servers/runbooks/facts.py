"""What is known of one deployment at one moment. Classes and remedies are functions of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from servers.states import StepKind, StepStatus


@dataclass(frozen=True)
class StepFacts:
    """What is known of one step of the deployment."""

    pk: int
    kind: str
    platform: str
    status: str
    error: str = ""
    error_kind: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.kind.capitalize()} {self.platform}".strip()


@dataclass(frozen=True)
class Event:
    """An event of the deployment (docs/telemetry.md)."""

    type: str
    platform: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """What is known of a deployment. Fields with a deployment's number are 0 if there is none.

    `serving` answers calls now; `current` does, or did last. `good` is the newest one to roll back to: it can
    be started again, and its build is neither that of this one nor of `serving`. `newer` was requested after
    this one. `held` waits for approval, and may be this one. `open` maps the numbers of other queued and
    running ones to their status. `reason` is a `registry.reasons.Reason` or "". `breaking` says how its tools
    break callers.
    """

    slug: str
    number: int
    status: str
    mode: str = "latest"
    runtime: str = ""
    error_kind: str = ""
    reason: str = ""
    error: str = ""
    revision: str = ""
    platforms: tuple[str, ...] = ()
    can_start_again: bool = False
    claims: int = 1
    retry_limit: int = 3
    steps: tuple[StepFacts, ...] = ()
    events: tuple[Event, ...] = ()
    last_lines: tuple[str, ...] = ()
    breaking: tuple[str, ...] = ()
    desired: str = "running"
    is_current: bool = False
    serving: int = 0
    current: int = 0
    current_can_start: bool = False
    good: int = 0
    newer: int = 0
    held: int = 0
    open: Mapping[int, str] = field(default_factory=dict)
    registry: str = ""
    has_refresh_command: bool = False

    @property
    def failed_step(self) -> StepFacts | None:
        """The step that failed, rather than one that was cancelled because of it."""
        over = [step for step in self.steps if step.status in (StepStatus.FAILED, StepStatus.CANCELLED)]
        return min(over, key=lambda step: step.status != StepStatus.FAILED, default=None)

    @property
    def failed_platform(self) -> str:
        return self.failed_step.platform if self.failed_step else ""

    def of(self, event_type: str) -> list[Event]:
        """Returns the events of this type, oldest first."""
        return [event for event in self.events if event.type == event_type]

    @property
    def attempts(self) -> int:
        """How many attempts the failed push made."""
        own = [event for event in self.events if event.platform == self.failed_platform]
        return max((int(event.details.get("attempt", 0)) for event in own), default=0)

    def succeeded(self, kind: StepKind) -> list[str]:
        """Returns the platforms whose step of that kind succeeded."""
        done = (s for s in self.steps if s.kind == kind and s.status == StepStatus.SUCCEEDED)
        return [step.platform for step in done]

    @property
    def health(self) -> Mapping[str, Any]:
        """The last check of the credentials: `status`, `source`, `seconds` …"""
        looks = self.of("auth_health_reported")
        return looks[-1].details if looks else {}


def span(seconds: int) -> str:
    """Returns "40 s", "12 min", "3 h" or "2 d"."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def times(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
