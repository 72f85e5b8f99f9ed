"""How a server is used: calls over time, by tool and by client."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from console import figures, ranges
from console.ranges import Span
from metrics import rollups, summary, totals
from metrics.methods import NO_CLIENT
from metrics.models import CallTotal
from metrics.sums import Sum, sum_of
from servers.models import Server

SHOWN = 50


@dataclass(frozen=True)
class Row:
    """One tool, method or client; `url` leads to its calls, `failed_url` to those that failed."""

    name: str
    calls: int
    errors: int
    p50_ms: int | None
    p95_ms: int | None
    url: str
    failed_url: str


def context(request: HttpRequest, server: Server) -> dict[str, Any]:
    span = ranges.asked(request)
    rows = CallTotal.objects.filter(server=server)
    return {
        "ranges": ranges.choices(span),
        "span": span,
        "charts": figures.calls(rows, span, server=server.pk),
        "tools": _tools(server, span),
        "clients": _clients(server, span),
        "events_url": figures.events_url(span.since, span.now, event_type="mcp_call", server=server.pk),
    }


def lately(server: Server) -> Sum:
    """The calls of the last 24 hours."""
    starts = totals.starts(timezone.now(), timedelta(hours=1), 24)
    return sum_of(totals.by_time(CallTotal.objects.filter(server=server), starts))


def _tools(server: Server, span: Span) -> list[Row]:
    found = summary.of_server(server.pk, since=span.since, until=span.now, interval="hour")["by_name"]
    return [_tool(server, span, each) for each in found[:SHOWN]]


def _tool(server: Server, span: Span, found: dict[str, Any]) -> Row:
    narrow = {"name": found["name"]} if found["name"] not in ("", rollups.OTHERS) else {}
    known = {key: found[key] for key in ("calls", "errors", "p50_ms", "p95_ms")}
    return Row(name=found["name"] or found["method"], **known, **_urls(server, span, narrow))


def _clients(server: Server, span: Span) -> list[Row]:
    found = totals.by_client(server.pk, summary.floor(span.since, "hour"), span.now)
    return [_client(server, span, name, total) for name, total in list(found.items())[:SHOWN]]


def _client(server: Server, span: Span, name: str, total: Sum) -> Row:
    narrow = {"client": name} if name not in (rollups.OTHERS, NO_CLIENT) else {}
    urls = _urls(server, span, narrow)
    return Row(name, total.calls, total.errors, total.p50_ms, total.p95_ms, urls["url"], urls["failed_url"])


def _urls(server: Server, span: Span, narrow: dict[str, str]) -> dict[str, Any]:
    given = {"event_type": "mcp_call", "server": server.pk, **narrow}
    since, until = span.since, span.now
    return {
        "url": figures.events_url(since, until, **given),
        "failed_url": figures.events_url(since, until, outcome="failed", **given),
    }
