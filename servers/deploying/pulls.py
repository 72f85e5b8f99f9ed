"""What the team of a server may pull and with which login, from rows and settings (`registry.pull_rights`).

A server without a team counts with the other servers of its owner that have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db.models import Q

from hosting.builder import logins
from hosting.errors import BuildError, SourceError, UserError
from hosting.runtimes.base import ImagePull
from registry import inspection
from registry.client import RegistryClient
from registry.credentials import ANONYMOUS, Credential
from registry.errors import RegistryError
from registry.pull_rights import PullRights, Way, login_host
from registry.pulls import Pulls
from registry.reference import HUB_HOST, InvalidReference, Reference
from servers.deploying import registries, registry_advice
from servers.models import FormerServer, RegistryLogin, Server
from servers.models.server import DesiredState

ENGINE_HOME = f"{HUB_HOST}/mcphost"  # local tags are mcphost/<slug>, which parses as a name at Docker Hub


def of(server: Server) -> Pulls:
    """Returns what the server's team may pull, and the logins for that. Raises `secretbox.Unreadable`."""

    def ask(ref: Reference) -> None:
        try:
            with _reading("Asking for it", pulls, ref) as client:
                client.head_manifest(ref)
        except UserError as error:
            message = f"The base image {ref} cannot be pulled: {error.message}"
            raise BuildError(
                message, hint=error.hint, reason=error.reason, permanent=error.permanent
            ) from error

    pulls = Pulls(rights_of(server), registries.credentials(), logins_of(server), ask)
    return pulls


def of_our_own(tag: str) -> Pulls:
    """Returns what a build may pull that starts from an image which the platform has just built."""
    shared = (Reference.parse(tag).endpoint, *base_images())
    return Pulls(PullRights(shared=shared), registries.credentials())


def image_pull(server: Server, reference: str, *, built_here: bool) -> ImagePull:
    """Returns the login with which the runtime pulls the image of a deployment.

    `built_here` says that the platform has built it. Raises `UserError`.
    """
    if built_here:
        return ImagePull(ours=True, by_platform=True)
    pulls, wanted = of(server), Reference.parse(reference)
    way = pulls.rights.way_to(wanted)
    login = pulls.credential(wanted.host, way, wanted.repository) if way is Way.TEAM else ANONYMOUS
    return ImagePull(by_platform=way is Way.PLATFORM, username=login.username, password=login.password)


def platforms_of(server: Server, reference: str) -> tuple[str, ...]:
    """Returns the platforms of an image at a registry. Raises `UserError`."""
    wanted = Reference.parse(reference)
    with _reading(f"Reading the image {reference}", of(server), wanted) as client:
        return client.resolve(wanted)[2]


def start_command(server: Server, reference: str, platform: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns ENTRYPOINT and CMD of an image at a registry, for one platform. Raises `UserError`."""
    wanted = Reference.parse(reference)
    with _reading(f"Reading the image {reference}", of(server), wanted) as client:
        return inspection.start_command(client, wanted, platform)


@contextmanager
def _reading(doing: str, pulls: Pulls, ref: Reference) -> Iterator[RegistryClient]:
    """Yields a client for the registry with this team's login.

    Raises `SourceError` if the team may not pull `ref`.
    """
    way = pulls.rights.way_to(ref)
    if way is Way.REFUSED:
        raise SourceError(logins.not_yours(ref.endpoint), hint=logins.LIST_IT)
    login = None if way is Way.PLATFORM else pulls.credential(ref.host, way, ref.repository)
    try:
        with registries.faults(doing, ref):
            yield registries.client(ref.host, login)
    except UserError as error:
        told = error.__cause__
        if way is Way.PLATFORM or not isinstance(told, RegistryError):
            raise
        hint = registry_advice.of_a_team(told, way, ref.host)
        kind = "source" if told.may_need_login else error.kind
        raise SourceError(
            error.message, hint=hint, kind=kind, reason=error.reason, permanent=error.permanent
        ) from told


def digest_of(server: Server, reference: str) -> str:
    """Returns the digest of an image at a registry. Raises `UserError`."""
    try:
        wanted = Reference.parse(reference)
    except InvalidReference as error:
        raise SourceError(str(error)) from None
    with _reading(f"Looking up the image {reference}", of(server), wanted) as client:
        return client.resolve(wanted)[0]


def rights_of(server: Server) -> PullRights:
    """Returns which repositories the server's team may pull from."""
    own, others = _slugs(server)
    return PullRights(
        homes=tuple(homes()),
        own=frozenset(own),
        others=frozenset(others),
        shared=(*settings.REGISTRY_SHARED_PREFIXES, *base_images()),
        logins=frozenset(_logins(server).values_list("host", flat=True)),
    )


def logins_of(server: Server) -> dict[str, Credential]:
    """Returns the team's own logins by host. Raises `secretbox.Unreadable`."""
    return {
        login_host(row.host): Credential(row.username, row.reveal(), source="the team's login")
        for row in _logins(server)
    }


def secrets_of(server: Server) -> list[str]:
    """Returns the secrets that a registry could repeat in its answers. Raises `secretbox.Unreadable`."""
    given = logins_of(server).values()
    return [text for login in given for text in (login.password, login.basic.removeprefix("Basic "))]


def homes() -> list[str]:
    """Returns where images of servers are: at the registry, by each of its names, and in the engine."""
    host, slash, prefix = settings.REGISTRY.partition("/")
    names = [name for name in (host, settings.REGISTRY_ADDRESS if host else "") if name]
    return [*(name + slash + prefix for name in names), ENGINE_HOME]


def _slugs(server: Server) -> tuple[set[str], set[str]]:
    """Returns the slugs whose repositories this team may pull from, and those that it may not.

    The slugs of deleted servers are among the second. So is a slug that is used again, if a deleted server of
    another team had it: its repository may still hold their images.
    """
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
    """Returns the repositories of the base images that the platform's own Dockerfiles use."""
    found = []
    for name in (settings.BASE_IMAGE_PYTHON, settings.BASE_IMAGE_NODE):
        try:
            found.append(Reference.parse(name).endpoint)
        except InvalidReference:
            continue
    return found
