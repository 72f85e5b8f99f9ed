"""Figures over a range of time. Each takes one query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Count, QuerySet
from django.db.models.functions import Trunc
from django.urls import reverse

from console.charts import Chart, Column, Part
from console.ranges import Span
from metrics import totals
from metrics.models import CallTotal, UsageMetric
from metrics.sums import Sum, sum_of
from servers.models import Deployment
from servers.states import DeploymentStatus, work_look

PUSHES = ("push_succeeded", "push_failed", "push_retry", "auth_refresh_succeeded", "auth_refresh_failed")
OUTCOMES = (
    DeploymentStatus.SUCCEEDED, DeploymentStatus.FAILED, DeploymentStatus.RUNNING, DeploymentStatus.QUEUED,
    DeploymentStatus.HELD, DeploymentStatus.CANCELLED, DeploymentStatus.SUPERSEDED,
)  # fmt: skip


def events_url(since: datetime, until: datetime, **given: Any) -> str:
    """The URL of the event list, filtered by `given` and by time."""
    times = {"timestamp__gte": since.isoformat(), "timestamp__lt": until.isoformat()}
    return f"{reverse('admin:metrics_usagemetric_changelist')}?{urlencode({**given, **times})}"


def calls(rows: QuerySet[CallTotal], span: Span, **given: Any) -> list[Chart]:
    """Charts of calls and their duration. `given` filters the links in the same way as `rows` are
    filtered."""
    found = totals.by_time(rows, span.starts)
    whole = sum_of(found)
    return [_count_of_calls(found, whole, span, given), _time_of_calls(found, whole, span, given)]


def _count_of_calls(found: Sequence[Sum], whole: Sum, span: Span, given: Mapping[str, Any]) -> Chart:
    columns = [
        Column(
            span.label(start),
            [Part("succeeded", "blue", one.calls - one.errors), Part("failed", "red", one.errors)],
            events_url(start, span.end_of(place), event_type="mcp_call", **given),
        )
        for place, (start, one) in enumerate(zip(span.starts, found, strict=True))
    ]
    since, until = span.since, span.now
    failed_url = events_url(since, until, event_type="mcp_call", outcome="failed", **given)
    return Chart(
        "calls", "Calls per second", per_second(whole.calls / span.seconds) if whole.calls else "0",
        _how_many(whole), columns,
        events_url(span.since, span.now, event_type="mcp_call", **given),
        failed_url if whole.errors else "",
        unit=f" per {span.range.each}",
        empty="No calls in this range. A server's page shows how to connect a client.",
        tone="red" if (whole.error_share or 0) > 0.05 else "",
    )  # fmt: skip


def _how_many(whole: Sum) -> str:
    if not whole.calls:
        return ""
    share = whole.error_share or 0
    failed = "none" if not whole.errors else "under 0.1%" if share < 0.0005 else f"{share:.1%}"
    return f"{whole.calls:,} call{'' if whole.calls == 1 else 's'}, {failed} failed"


def _time_of_calls(found: Sequence[Sum], whole: Sum, span: Span, given: Mapping[str, Any]) -> Chart:
    columns = [
        Column(
            span.label(start),
            [Part("p95", "grey", one.p95_ms or 0, f"{one.p95_ms or 0:,} ms")],
            events_url(start, span.end_of(place), event_type="mcp_call", **given),
        )
        for place, (start, one) in enumerate(zip(span.starts, found, strict=True))
    ]
    return Chart(
        "p95", "Call duration, 95th percentile", f"{whole.p95_ms:,} ms" if whole.p95_ms is not None else "—",
        f"median {whole.p50_ms:,} ms" if whole.p50_ms is not None else "", columns,
        events_url(span.since, span.now, event_type="mcp_call", **given), unit=" ms",
        empty="Shown once there are calls.",
    )  # fmt: skip


def deployments(rows: QuerySet[Deployment], span: Span) -> Chart:
    """Deployments by outcome over time."""
    moments = Trunc("created_at", span.range.grain)
    counted = rows.filter(created_at__gte=span.since).order_by().annotate(at=moments)
    columns: list[dict[str, int]] = [defaultdict(int) for _ in span.starts]
    for at, status, count in counted.values_list("at", "status").annotate(Count("pk")):
        columns[span.place(at)][status] += count
    whole: dict[str, int] = defaultdict(int)
    for column in columns:
        for status, count in column.items():
            whole[status] += count
    seen = [status for status in OUTCOMES if whole[status]]
    failed = whole[DeploymentStatus.FAILED]
    return Chart(
        "deployments", "Deployments", f"{sum(whole.values()):,}", f"{failed:,} failed" if failed else "",
        [_deployments(span, place, found, seen) for place, found in enumerate(columns)],
        deployments_url(span.since, span.now),
        deployments_url(span.since, span.now, status__exact="failed") if failed else "",
        unit=f" per {span.range.each}",
        empty="No deployments in this range. Redeploy a server, or add a webhook.",
        tone="red" if failed else "",
    )  # fmt: skip


def deployments_url(since: datetime, until: datetime, **given: Any) -> str:
    times = {"created_at__gte": since.isoformat(), "created_at__lt": until.isoformat()}
    return f"{reverse('admin:servers_deployment_changelist')}?{urlencode({**given, **times})}"


def _deployments(span: Span, place: int, found: Mapping[str, int], seen: Sequence[str]) -> Column:
    start = span.starts[place]
    parts = [Part(work_look(s).label.lower(), work_look(s).tone, found[s]) for s in seen]
    return Column(span.label(start), parts, deployments_url(start, span.end_of(place)))


@dataclass(frozen=True)
class Architecture:
    """The pushes of one platform in a range of time; `share` is the success rate."""

    platform: str
    succeeded: int
    failed: int
    retries: int
    refreshes: int
    urls: Mapping[str, str]

    @property
    def share(self) -> str:
        ended = self.succeeded + self.failed
        return f"{self.succeeded / ended:.1%}" if ended else "—"

    @property
    def pressure(self) -> str:
        """Attempts after the first, for each push."""
        ended = self.succeeded + self.failed
        return f"{self.retries / ended:.2f}" if ended else "—"


def pushes(rows: QuerySet[UsageMetric], span: Span) -> list[Architecture]:
    chosen = rows.filter(event_type__in=PUSHES, timestamp__gte=span.since).order_by()
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for platform, event_type, count in chosen.values_list("platform", "event_type").annotate(Count("pk")):
        found[platform][event_type] = count
    return [_architecture(platform, found[platform], span) for platform in sorted(found) if platform]


def _architecture(platform: str, found: Mapping[str, int], span: Span) -> Architecture:
    kinds = {"succeeded": "push_succeeded", "failed": "push_failed", "retries": "push_retry"}
    urls = {
        name: events_url(span.since, span.now, event_type=kind, platform=platform)
        for name, kind in kinds.items()
    }
    refreshes = found["auth_refresh_succeeded"] + found["auth_refresh_failed"]
    return Architecture(
        platform, found["push_succeeded"], found["push_failed"], found["push_retry"], refreshes, urls
    )


def no_pushes() -> str:
    if not settings.REGISTRY:
        return "Images stay in the engine until REGISTRY names a registry."
    return "No pushes in this range."


def per_second(rate: float) -> str:
    if rate < 0.001:
        return "< 0.001"
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.2g}" if rate < 10 else f"{rate:.1f}"
