"""Answers `GET /metrics` for Prometheus, in every process: each has counters of its own.

It needs METRICS_TOKEN or an API token of an administrator as bearer, because the answer names all servers and
shows how much they are used.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from django.conf import settings
from django.db import Error, close_old_connections, connections
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from access import roles
from metrics import prometheus
from servers import bearer, states
from servers.models import Deployment, Server
from servers.states import DeploymentStatus, ServerStatus
from servers.streams import feed

PATH = "/metrics"
Answer = tuple[int, list[tuple[str, str]], bytes]
logger = logging.getLogger(__name__)


class DatabaseGauges(Collector):
    """Gauges from the database. Every process gives the same values: use `max`, not `sum`, over processes."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        yield _gauge("mcphost_feed_listeners", "Listeners of live feeds in this process.", feed.listeners())
        try:
            known = [*_servers(), *_queue()]
        except Error:
            logger.warning("the database cannot be asked for what is counted", exc_info=True)
            known = []
        yield _gauge("mcphost_database_up", "1 while the database answers.", bool(known))
        yield from known


def _servers() -> Iterable[GaugeMetricFamily]:
    found = dict(Server.objects.order_by().values_list("status").annotate(Count("id")))
    by_status = GaugeMetricFamily("mcphost_servers", "Servers by status.", labels=["status"])
    for status in ServerStatus:
        by_status.add_metric([status.value], found.get(status.value, 0))
    named = GaugeMetricFamily("mcphost_server_info", "Always 1; names servers.", labels=["server", "slug"])
    for pk, slug in Server.objects.order_by("id").values_list("id", "slug"):
        named.add_metric([str(pk), slug], 1)
    return by_status, named


def _queue() -> Iterable[GaugeMetricFamily]:
    is_open = Deployment.objects.filter(status__in=states.OPEN).order_by()
    found = dict(is_open.values_list("status").annotate(Count("id")))
    waiting = GaugeMetricFamily("mcphost_deployments_open", "Queued and running.", labels=["status"])
    for status in sorted(states.OPEN):
        waiting.add_metric([str(status)], found.get(str(status), 0))
    queued = is_open.filter(status=DeploymentStatus.QUEUED).aggregate(Min("created_at"))
    since = queued["created_at__min"]
    age = (timezone.now() - since).total_seconds() if since else 0
    return waiting, _gauge("mcphost_queue_oldest_seconds", "Age of the oldest queued deployment.", age)


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)


async def application(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    status, about, body = await asyncio.to_thread(_answer, scope["method"], headers)
    about += [("cache-control", "no-store"), ("content-length", str(len(body)))]
    head = [(name.encode(), value.encode()) for name, value in about]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def _answer(method: str, headers: dict[bytes, str]) -> Answer:
    if method != "GET":
        return 405, [("allow", "GET")], b""
    close_old_connections()
    try:
        if not _may_read(headers.get(b"authorization", "")):
            return 401, [("www-authenticate", 'Bearer realm="metrics"')], b"Send METRICS_TOKEN as bearer.\n"
        body, content_type = prometheus.exposition(headers.get(b"accept", ""), DatabaseGauges())
        return 200, [("content-type", content_type)], body
    finally:
        connections.close_all()


def _may_read(authorization: str) -> bool:
    value = bearer.value_of(authorization) or ""
    if settings.METRICS_TOKEN and hmac.compare_digest(value.encode(), settings.METRICS_TOKEN.encode()):
        return True
    try:
        token = bearer.find(value) if value else None
    except Error:
        return False
    return token is not None and roles.is_administrator(token.owner)
