"""The ranges of time that charts show, each divided into equal intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from metrics import totals


@dataclass(frozen=True)
class Range:
    """`grain` is the unit in which the database counts rows for it, `each` says how long an interval is."""

    name: str
    label: str
    step: timedelta
    count: int
    grain: str
    each: str

    @property
    def words(self) -> str:
        return f"the last {self.label}"


RANGES = (
    Range("1h", "hour", timedelta(minutes=1), 60, "minute", "minute"),
    Range("24h", "24 hours", timedelta(hours=1), 24, "hour", "hour"),
    Range("7d", "7 days", timedelta(hours=6), 28, "hour", "6 hours"),
    Range("30d", "30 days", timedelta(days=1), 30, "day", "day"),
)
USUAL = RANGES[1]


@dataclass(frozen=True)
class Span:
    """A range that ends now."""

    range: Range
    now: datetime
    starts: Sequence[datetime]

    @property
    def since(self) -> datetime:
        return self.starts[0]

    @property
    def seconds(self) -> float:
        return (self.now - self.since).total_seconds()

    def place(self, moment: datetime) -> int:
        """The index of the interval that contains `moment`. The last one also takes later moments."""
        return min(max((moment - self.since) // self.range.step, 0), len(self.starts) - 1)

    def end_of(self, index: int) -> datetime:
        return self.starts[index] + self.range.step

    def label(self, moment: datetime) -> str:
        day = f"{moment:%b} {moment.day}"
        return day if self.range.grain == "day" else f"{day}, {moment:%H:%M}"


def asked(request: HttpRequest) -> Span:
    """The range in the address, or the usual one."""
    chosen = next((each for each in RANGES if each.name == request.GET.get("range")), USUAL)
    now = timezone.now()
    return Span(chosen, now, totals.starts(now, chosen.step, chosen.count))


def choices(span: Span) -> list[dict[str, Any]]:
    return [{"name": each.name, "label": each.label, "here": each is span.range} for each in RANGES]
