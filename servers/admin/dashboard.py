"""The first page: what needs a person now, what stands where, what was deployed last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from importlib.util import find_spec
from time import monotonic
from typing import Any

from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from access import roles
from servers import states
from servers.models import Deployment, Server
from servers.models.server import ServerQuerySet
from servers.runtimes.base import Capability
from servers.states import DeploymentStatus, ServerStatus

NEEDS_A_PERSON = (ServerStatus.ERROR, ServerStatus.DEGRADED)
SHOWN = 10
LOOK_AGAIN_AFTER = 60.0
STUCK_AFTER = timedelta(minutes=2)


def context(request: HttpRequest, page: dict[str, Any]) -> dict[str, Any]:
    """Adds the dashboard to the page's context. The number of queries does not grow with the servers."""
    servers = Server.objects.visible_to(request.user)
    deployments = Deployment.objects.filter(server__in=servers.order_by().values("pk"))
    counts = _counts(servers)
    return {
        **page,
        "title": "Overview",
        "troubled": troubled(servers),
        "troubled_count": sum(counts.get(status, 0) for status in NEEDS_A_PERSON),
        "stuck": stuck(deployments),
        "tiles": _tiles(counts),
        "total": sum(counts.values()),
        "deployments": deployments.select_related("server", "requested_by")[:SHOWN],
        "capabilities": notes.current(),
        "can_add": roles.may_add(request.user),
    }


def troubled(servers: ServerQuerySet) -> Sequence[Server]:
    """Servers that need a person, the newest trouble first."""
    rows = servers.with_current().filter(status__in=NEEDS_A_PERSON)
    return list(rows.order_by("-status_at")[:SHOWN])


def stuck(deployments: QuerySet[Deployment]) -> Sequence[Deployment]:
    """Deployments whose worker has fallen silent, and that nobody has taken up since."""
    silent = deployments.filter(
        status=DeploymentStatus.RUNNING, heartbeat_at__lt=timezone.now() - STUCK_AFTER
    )
    return list(silent.select_related("server")[:SHOWN])


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


class Notes:
    """What the machine can do, looked up aside: a page shows the last answer and never waits for the next."""

    def __init__(self, look: Callable[[], Sequence[Capability]]) -> None:
        self._look = look
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="capabilities")
        self._lock = threading.Lock()
        self._pending: Future[Sequence[Capability]] | None = None
        self._known: Sequence[Capability] | None = None
        self._at = 0.0

    def current(self) -> Sequence[Capability] | None:
        """The last answer, or None where there is none yet."""
        with self._lock:
            self._collect()
            if self._pending is None and (self._known is None or monotonic() - self._at > LOOK_AGAIN_AFTER):
                self._pending = self._pool.submit(self._look)
            return self._known

    def _collect(self) -> None:
        if self._pending is not None and self._pending.done():
            failed = self._pending.exception() is not None
            self._known = self._known or () if failed else self._pending.result()
            self._pending, self._at = None, monotonic()


def _look() -> Sequence[Capability]:
    if find_spec("servers.capabilities") is None:
        return ()
    from servers import capabilities

    found: Sequence[Capability] = capabilities.all()
    return found


notes = Notes(_look)
