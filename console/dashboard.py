"""The overview page: what needs attention, servers by status, and activity over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from access import roles
from console import feeds, figures, notes, ranges
from console.attention import stuck
from metrics import totals
from metrics.models import CallTotal, UsageMetric
from notices.models import AILING
from servers import channels, payloads, states
from servers.models import Deployment, Server
from servers.models.server import ServerQuerySet
from servers.states import ServerStatus

NEEDS_A_PERSON = (ServerStatus.ERROR, ServerStatus.DEGRADED)
SHOWN = 10


def context(request: HttpRequest, page: dict[str, Any]) -> dict[str, Any]:
    """Adds the dashboard to the page's context. The number of queries does not grow with the servers."""
    status_feed = feeds.of_statuses(request.user)
    servers = Server.objects.visible_to(request.user)
    counts = _counts(servers)
    return {
        **page,
        "status_feed": status_feed,
        "title": "Overview",
        **attention(request, servers, counts),
        **over_time(request, servers),
        "tiles": _tiles(counts),
        "total": sum(counts.values()),
        "capabilities": notes.machine.current(),
        "can_add": roles.may_add(request.user),
    }


def attention(request: HttpRequest, servers: ServerQuerySet, counts: dict[str, int]) -> dict[str, Any]:
    """What needs attention now. Problems of the platform itself are for its administrators only."""
    administers = roles.is_administrator(request.user)
    known = notes.concerns.current() if administers else ()
    concerns = list(known or ())
    waiting = stuck(_narrowed(Deployment.objects.all(), request, servers))
    ailing = channels.managed_by(request.user).filter(AILING)
    found = {
        "troubled_count": sum(counts.get(status, 0) for status in NEEDS_A_PERSON),
        "stuck_count": waiting.count(),
        "ailing_count": ailing.count(),
    }
    return {
        "concerns": concerns,
        "concerns_unknown": known is None,
        "looking": administers and notes.concerns.looking,
        "ailing": ailing[:SHOWN],
        "troubled": troubled(servers),
        "stuck": waiting.select_related("server", "build", "run").defer("discovery")[:SHOWN],
        **found,
        "attention_count": sum(found.values()) + len(concerns),
    }


def over_time(request: HttpRequest, servers: ServerQuerySet) -> dict[str, Any]:
    """Calls, deployments and pushes in the range that the address asks for."""
    span = ranges.asked(request)
    deployments = _narrowed(Deployment.objects.all(), request, servers)
    administers = roles.is_administrator(request.user)
    calls = totals.of_platform() if administers else _narrowed(CallTotal.objects.all(), request, servers)
    return {
        "ranges": ranges.choices(span),
        "span": span,
        "charts": [*figures.calls(calls, span), figures.deployments(deployments, span)],
        "pushes": figures.pushes(_narrowed(UsageMetric.objects.all(), request, servers), span),
        "no_pushes": figures.no_pushes(),
        "deployments": _newest(deployments),
    }


def troubled(servers: ServerQuerySet) -> Sequence[Server]:
    """Servers that need attention, the newest problem first."""
    rows = payloads.with_newest_deployment(servers.filter(status__in=NEEDS_A_PERSON))
    return list(rows.order_by("-status_at")[:SHOWN])


def _narrowed(rows: QuerySet[Any], request: HttpRequest, servers: ServerQuerySet) -> Any:
    """The rows of servers that this person may see. For administrators the rows are not filtered."""
    if roles.is_administrator(request.user):
        return rows
    return rows.filter(server__in=servers.order_by().values("pk"))


def _counts(servers: ServerQuerySet) -> dict[str, int]:
    rows = servers.order_by().values_list("status").annotate(count=Count("pk"))
    return dict(rows)


def _tiles(counts: dict[str, int]) -> list[dict[str, Any]]:
    url = reverse("admin:servers_server_changelist")
    return [
        {
            "label": states.look(status).label,
            "tone": states.look(status).tone,
            "count": counts[status],
            "url": f"{url}?status__exact={status}",
        }
        for status in ServerStatus
        if counts.get(status)
    ]


def _newest(deployments: QuerySet[Deployment]) -> QuerySet[Deployment]:
    shown = deployments.select_related("server", "requested_by", "build", "run")
    return shown.defer("discovery")[:SHOWN]
