"""Decides when a replaced deployment ends.

For DRAIN_SECONDS it gets the calls of its sessions. Then it gets none, and ends when its last calls have
ended, or after DRAIN_CALLS_SECONDS more.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from servers.models import CallsInFlight, Deployment, Server
from servers.models.server import DesiredState
from servers.states import DeploymentStatus

# A gateway sends no call there one second after the retirement, and reports its open calls within another.
HEARD = 2.5


def is_awaited(server: Server, deployment: Deployment) -> bool:
    """Tells whether a retired deployment may still have calls. False if its server is to stop."""
    replaced = server.desired_state == DesiredState.RUNNING and server.current_deployment_id != deployment.pk
    since = _retired_for(deployment) if replaced else None
    if since is None:
        return False
    if since < timedelta(seconds=min(settings.DRAIN_SECONDS, HEARD)):
        return True
    in_time = since < timedelta(seconds=settings.DRAIN_CALLS_SECONDS)
    return in_time and CallsInFlight.objects.known_now().filter(deployment=deployment, calls__gt=0).exists()


def _retired_for(deployment: Deployment) -> timedelta | None:
    later = Deployment.objects.filter(
        server=deployment.server_id, number__gt=deployment.number, status=DeploymentStatus.SUCCEEDED
    )
    replaced_at = later.order_by("number").values_list("finished_at", flat=True).first()
    return timezone.now() - replaced_at - timedelta(seconds=settings.DRAIN_SECONDS) if replaced_at else None
