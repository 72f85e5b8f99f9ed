"""Finds the deployment that serves a slug, or why none does."""

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
    """A server as the gateway sees it. `endpoint` is "" if nothing serves, `era` "" if it is not known.

    `behind_bridge` tells that it speaks stdio and sees no headers. `replicas` maps names to endpoints, if
    there can be several; a session stays with one. `host` is the Host header that it accepts, "" for the
    usual one.
    """

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
        """Tells whether calls can be passed on now."""
        return bool(self.endpoint) and self.wanted

    @property
    def state(self) -> str:
        """A sentence for callers while nothing serves."""
        if not self.wanted:
            return f"{self.name} is stopped. Start it, then call again."
        if self.status == ServerStatus.DEGRADED:
            return f"{self.name} has stopped by itself and is being restarted. Try again shortly."
        if self.status in ON_ITS_WAY:
            return f"{self.name} is starting ({states.look(self.status).label.lower()}). Try again shortly."
        if self.status == ServerStatus.ERROR:
            return f"{self.name} is not running: its last start failed. See its deployments for the reason."
        return f"{self.name} is not running ({states.look(self.status).label.lower()})."

    @property
    def comes(self) -> bool:
        """Tells whether the server is expected to serve soon."""
        return self.wanted and self.status in ON_ITS_WAY

    @property
    def retry_after(self) -> int:
        """Seconds after which a client should try again."""
        return SOON if self.comes else LATER


def find(slug: str) -> Route | None:
    """Queries the server of a slug; None if there is none, or if it is being deleted."""
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
    """Returns the Host header that the handshake found; for older deployments the endpoint's own name."""
    return str(facts.get("host", urlsplit(endpoint).netloc))


RUN = ("run", "run__handle__endpoint", "run__endpoint", "run__endpoints")


@dataclass(frozen=True)
class Earlier:
    """A replaced deployment that still runs. `retired` tells that it takes no new calls."""

    run_id: int
    endpoint: str
    retired: bool
    replicas: Mapping[str, str] = field(default_factory=dict)
    host: str = ""


def earlier(deployment_id: int) -> Earlier | None:
    """Queries a deployment that may not be the current one; None once it has ended."""
    running = Deployment.objects.with_run().filter(pk=deployment_id)
    found = running.values_list(*RUN, "facts").first()
    if not (found and found[1]):
        return None
    run_id, endpoint, takes_new, replicas, facts = found
    return Earlier(run_id, endpoint, not takes_new, replicas, _host(facts, endpoint))
