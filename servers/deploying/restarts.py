"""When a server that went down is started again: soon at first, then ever later, in the end not at all."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from servers.models import Server, ServerQuerySet

MOST_IN_A_ROW = 8
LONGEST_SECONDS = 300
STEADY = timedelta(seconds=60)


def schedule(server: Server) -> None:
    """Counts one more failure and sets the time of the next start: 1, 2, 4 … 300 s from now."""
    wait = min(2**server.restarts, LONGEST_SECONDS)
    Server.objects.filter(pk=server.pk).update(
        restarts=server.restarts + 1, restart_at=timezone.now() + timedelta(seconds=wait)
    )


def forget_failures(server: Server) -> None:
    """A server that has stayed up for a while starts counting anew."""
    current = server.current_deployment
    up_since = current.finished_at if current else None
    if server.restarts and up_since and timezone.now() - up_since > STEADY:
        Server.objects.filter(pk=server.pk).update(restarts=0, restart_at=None)


def due(servers: ServerQuerySet) -> ServerQuerySet:
    """Of these, the ones whose turn has come."""
    now = timezone.now()
    return servers.filter(Q(restart_at__isnull=True) | Q(restart_at__lte=now), restarts__lt=MOST_IN_A_ROW)


def gave_up(server: Server) -> bool:
    return server.restarts >= MOST_IN_A_ROW
