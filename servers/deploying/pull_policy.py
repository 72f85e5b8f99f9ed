"""What the team of a server may pull, out of rows and settings: see `registry.pull_rights`.

A server without a team stands for itself and the other servers that its owner has without one.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Q

from registry.credentials import Credential
from registry.pull_rights import PullRights, login_host
from registry.reference import HUB_HOST, InvalidReference, Reference
from servers.models import FormerServer, RegistryLogin, Server
from servers.models.server import DesiredState

ENGINE_HOME = (
    f"{HUB_HOST}/mcphost"  # what is built here is tagged mcphost/<slug>, and read as a name of Hub's
)


def rights_of(server: Server) -> PullRights:
    own, others = _slugs(server)
    return PullRights(
        homes=tuple(homes()),
        own=frozenset(own),
        others=frozenset(others),
        shared=(*settings.REGISTRY_SHARED_PREFIXES, *base_images()),
        logins=frozenset(_logins(server).values_list("host", flat=True)),
    )


def logins_of(server: Server) -> dict[str, Credential]:
    """The team's own logins by host. Raises `secretbox.Unreadable`."""
    return {
        login_host(row.host): Credential(row.username, row.reveal(), source="the team's login")
        for row in _logins(server)
    }


def secrets_of(server: Server) -> list[str]:
    """What a registry could repeat of the team's logins. Raises `secretbox.Unreadable`."""
    given = logins_of(server).values()
    return [text for login in given for text in (login.password, login.basic.removeprefix("Basic "))]


def homes() -> list[str]:
    """Where images of servers lie: at the registry, by each of its names, and in the engine."""
    host, slash, prefix = settings.REGISTRY.partition("/")
    names = [name for name in (host, settings.REGISTRY_ADDRESS if host else "") if name]
    return [*(name + slash + prefix for name in names), ENGINE_HOME]


def _slugs(server: Server) -> tuple[set[str], set[str]]:
    """A deleted server's is nobody's; a name that is used again may lead to what was another team's."""
    alive = Server.objects.exclude(desired_state=DesiredState.DELETED).order_by()
    own = set(alive.filter(_same_people(server)).values_list("slug", flat=True))
    every = set(Server.objects.order_by().values_list("slug", flat=True))
    former = FormerServer.objects.order_by()
    foreign = set(former.exclude(_same_people_as_then(server)).values_list("slug", flat=True))
    gone = set(former.values_list("slug", flat=True)) - own
    return own - foreign, (every - own) | gone | foreign


def _same_people(server: Server) -> Q:
    if server.team_id:
        return Q(team=server.team_id)
    return Q(team=None, owner=server.owner_id)


def _same_people_as_then(server: Server) -> Q:
    return Q(team=server.team_id) if server.team_id else Q(team=0, owner=server.owner_id)


def _logins(server: Server) -> Any:
    return (
        RegistryLogin.objects.filter(team=server.team_id) if server.team_id else RegistryLogin.objects.none()
    )


def base_images() -> list[str]:
    """The repositories of the images that the platform's own Dockerfiles begin with."""
    found = []
    for name in (settings.BASE_IMAGE_PYTHON, settings.BASE_IMAGE_NODE):
        try:
            found.append(Reference.parse(name).endpoint)
        except InvalidReference:
            continue
    return found
