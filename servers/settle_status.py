"""Sets the status of a server after work that says nothing about the server itself: cancelled or held."""

from __future__ import annotations

from servers import states
from servers.models import Deployment, Server
from servers.models.server import DesiredState
from servers.states import ServerStatus


def settle(server_id: int) -> None:
    """Sets the status. The caller has locked the server's row, in the transaction that ended the work."""
    server = Server.objects.with_current().get(pk=server_id)
    if Deployment.objects.open().filter(server=server_id).exists():
        Server.objects.filter(status__in=states.DEPLOYING).move(server_id, ServerStatus.PENDING)
    elif server.desired_state == DesiredState.RUNNING and server.serving:
        Server.objects.move(server_id, ServerStatus.ERROR if server.error else ServerStatus.RUNNING)
    elif server.desired_state == DesiredState.RUNNING and _is_down(server):
        Server.objects.move(server_id, ServerStatus.ERROR if server.error else ServerStatus.STARTING)
    elif server.desired_state == DesiredState.RUNNING:
        Server.objects.filter(pk=server_id).update(desired_state=DesiredState.STOPPED)
        Server.objects.move(server_id, ServerStatus.STOPPED)
    elif server.desired_state == DesiredState.STOPPED:
        Server.objects.move(server_id, ServerStatus.STOPPING)  # the reconciler ends runs that are left


def _is_down(server: Server) -> bool:
    """Tells whether the server was down before the work began, so that a restart follows.

    A server that was stopped has no error.
    """
    current = server.current_deployment
    return current is not None and bool(server.error or current.live_run)
