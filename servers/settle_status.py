"""What a server shows when the work on it has ended without a verdict on the server itself: cancelled."""

from __future__ import annotations

from servers import states
from servers.models import Deployment, Server
from servers.models.server import DesiredState
from servers.states import ServerStatus


def rest(server_id: int) -> None:
    """Call it in the transaction that ended the work, with the server's row locked."""
    server = Server.objects.with_current().get(pk=server_id)
    if Deployment.objects.open().filter(server=server_id).exists():
        Server.objects.filter(status__in=states.DEPLOYING).move(server_id, ServerStatus.PENDING)
    elif server.desired_state == DesiredState.RUNNING and server.serving:
        Server.objects.move(server_id, ServerStatus.ERROR if server.error else ServerStatus.RUNNING)
    elif server.desired_state == DesiredState.RUNNING:
        Server.objects.filter(pk=server_id).update(desired_state=DesiredState.STOPPED)
        Server.objects.move(server_id, ServerStatus.STOPPED)
    elif server.desired_state == DesiredState.STOPPED:
        Server.objects.move(server_id, ServerStatus.STOPPING)  # the reconciler ends what may still run
