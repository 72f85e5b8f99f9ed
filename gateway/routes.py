"""Where a slug leads: the deployment that serves it, or the state that it is in instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from gateway import policy
from gateway.policy import ToolLists
from servers import states
from servers.models import Deployment, Server
from servers.models.server import DesiredState, Transport
from servers.states import ServerStatus

SOON, LATER = 2, 30  # seconds after which a client is told to try again
ON_ITS_WAY = states.DEPLOYING | {ServerStatus.PENDING, ServerStatus.DEGRADED}


@dataclass(frozen=True)
class Route:
    """A server as the data path sees it; `endpoint` is "" when nothing serves, `era` where it is not known.
    `behind_bridge`: it speaks stdio and sees no headers. `replicas`: their own endpoints by name, where there
    may be several: a session stays with one. `host` is the Host that it takes, "" for the usual one."""

    server_id: int
    slug: str
    name: str
    owner_id: int
    team_id: int | None
    status: str
    wanted: bool
    deployment_id: int | None
    run_id: int
    endpoint: str
    era: str = ""
    versions: tuple[str, ...] = ()
    behind_bridge: bool = False
    calls_per_minute: int = 0
    tools: ToolLists | None = None
    record_arguments: bool = False
    replicas: Mapping[str, str] = field(default_factory=dict)
    host: str = ""

    @property
    def serves(self) -> bool:
        return bool(self.endpoint) and self.wanted

    @property
    def state(self) -> str:
        """What the caller is told while nothing serves."""
        if not self.wanted:
            return f"{self.name} is stopped. Start it, then call again."
        if self.status == ServerStatus.DEGRADED:
            return f"{self.name} has stopped by itself and is being restarted. Try again shortly."
        if self.status in ON_ITS_WAY:
            return f"{self.name} is starting ({states.look(self.status).label.lower()}). Try again shortly."
        if self.status == ServerStatus.ERROR:
            return (
                f"{self.name} is not running: its last deployment failed. See its deployments for the reason."
            )
        return f"{self.name} is not running ({states.look(self.status).label.lower()})."

    @property
    def comes(self) -> bool:
        """It serves soon, as far as we know."""
        return self.wanted and self.status in ON_ITS_WAY

    @property
    def retry_after(self) -> int:
        return SOON if self.comes else LATER


def find(slug: str) -> Route | None:
    """Asks the database for the server; None when there is none, or it is being deleted."""
    servers = Server.objects.with_current().exclude(desired_state=DesiredState.DELETED)
    server = servers.filter(slug=slug).first()
    if server is None:
        return None
    current = server.serving
    facts, run = (current.facts, current.run) if current else ({}, None)
    return Route(
        server_id=server.pk,
        slug=server.slug,
        name=server.name,
        owner_id=server.owner_id,
        team_id=server.team_id,
        status=server.status,
        wanted=server.desired_state == DesiredState.RUNNING,
        deployment_id=current.pk if current else None,
        run_id=run.pk if run else 0,
        endpoint=run.endpoint if run else "",
        era=str(facts.get("era") or ""),
        versions=tuple(facts.get("protocol_versions") or ()),
        behind_bridge=server.transport == Transport.STDIO,
        calls_per_minute=server.calls_per_minute,
        tools=policy.lists_of(server.tools_allowed, server.tools_denied),
        record_arguments=server.record_arguments,
        replicas=run.endpoints if run else {},
        host=_host(facts, run.endpoint) if run else "",
    )


def _host(facts: Mapping[str, Any], endpoint: str) -> str:
    """What the handshake found. Before it was asked for, the name of the endpoint itself was taken."""
    return str(facts.get("host", urlsplit(endpoint).netloc))


RUN = ("run__handle__endpoint", "run__endpoint", "run__endpoints")


@dataclass(frozen=True)
class Earlier:
    """A deployment that was replaced and still runs. `retired`: it takes no new calls."""

    endpoint: str
    retired: bool
    replicas: Mapping[str, str] = field(default_factory=dict)
    host: str = ""


def earlier(deployment_id: int) -> Earlier | None:
    """Asks the database for a deployment that need not be the current one; None once it has ended."""
    running = Deployment.objects.with_run().filter(pk=deployment_id)
    found = running.values_list(*RUN, "facts").first()
    if not (found and found[0]):
        return None
    return Earlier(found[0], not found[1], found[2], _host(found[3], found[0]))
