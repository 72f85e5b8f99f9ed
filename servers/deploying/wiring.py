"""Makes the adapters (runtimes, builder, registry, sources) out of settings and rows. Cached per process."""

from __future__ import annotations

import functools
import hmac
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from django.conf import settings

import bridge
from hosting import mcp_client
from hosting.build_settings import BuildSettings
from hosting.builder import emulation, logins
from hosting.errors import BuildError, RuntimeFault, SourceError, UserError
from hosting.mcp_client import Equip
from hosting.runtimes import kube_client
from hosting.runtimes.base import ImagePull, Runtime
from hosting.runtimes.docker import DockerRuntime
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kubernetes import KubernetesRuntime
from hosting.runtimes.kubernetes_manifests import Placement
from hosting.runtimes.process import ProcessRuntime
from hosting.sources.base import Source
from hosting.sources.git import GitSource
from hosting.sources.git_room import CheckoutLimits
from hosting.sources.image import ImageSource
from hosting.sources.package import PackageSource, split_extras
from hosting.sources.upload import ArchiveSource
from registry import inspection
from registry.client import RegistryClient
from registry.commands import CommandRefresher
from registry.credentials import ANONYMOUS, Credential, CredentialStore, OneLogin
from registry.errors import RegistryError
from registry.pull_rights import PullRights, Way
from registry.pulls import Pulls
from registry.reference import InvalidReference, Reference
from servers import reach, runtime_choice, uploads
from servers.deploying import pull_policy, registry_advice
from servers.models import Server
from servers.models.server import GIT_TOKEN, SecretPurpose, SourceKind

BRIDGE = Path(bridge.__file__).parent
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def runs_directory() -> Path:
    return Path(settings.DATA_DIR) / "runs"


def scratch_directory() -> Path:
    """Holds a directory for each deployment that is being worked on, named by its id."""
    return Path(settings.DATA_DIR) / "work"


@functools.cache
def runtime(name: str) -> Runtime:
    """The runtime of that name. Raises `RuntimeFault` for one that this platform does not have."""
    if name == "process":
        return ProcessRuntime(runs_directory(), BRIDGE)
    if name == "docker":
        return DockerRuntime(
            runtime_choice.engine_url(),
            network=settings.DOCKER_NETWORK,
            instance=settings.INSTANCE,
            auth=registry_auth,
        )
    if name == "kubernetes":
        return _kubernetes()
    raise RuntimeFault(f"There is no runtime “{name}” here.", hint="Use process, docker or kubernetes.")


def _kubernetes() -> KubernetesRuntime:
    if not settings.REGISTRY:
        raise RuntimeFault("Kubernetes runs images from a registry only.", hint="Set REGISTRY.")
    place = Placement(
        instance=settings.INSTANCE,
        namespace=settings.K8S_NAMESPACE,
        pull_secret=settings.K8S_REGISTRY_SECRET_NAME,
        service_account=settings.K8S_SERVICE_ACCOUNT,
        caller_networks=tuple(settings.K8S_CALLER_NETWORKS),
    )
    return KubernetesRuntime(place, context=settings.K8S_CONTEXT, proxied=goes_through_api_server())


def goes_through_api_server() -> bool:
    """K8S_REACH; `auto` is the way through the API server for a platform that is no pod itself."""
    if settings.K8S_REACH != "auto":
        return bool(settings.K8S_REACH == "proxy")
    return not kube_client.is_within()


@functools.cache
def cluster() -> Cluster:
    """What calls through the API server bear, and where it is."""
    return Cluster(settings.K8S_NAMESPACE, settings.K8S_CONTEXT)


def is_behind_api_server(endpoint: str) -> bool:
    """What runs beside us or in our cluster is spoken to over plain http."""
    return endpoint.startswith("https://")


def equip_for(endpoint: str) -> Equip:
    """What an HTTP client needs to call this endpoint: credentials for the API server's alone."""
    return cluster().equip if is_behind_api_server(endpoint) else mcp_client.unchanged


def native_platform() -> str:
    return f"linux/{emulation.engine_architecture(runtime_choice.engine_url())}"


@functools.cache
def build_settings() -> BuildSettings:
    return BuildSettings(
        docker_host=runtime_choice.engine_url(),
        python_image=settings.BASE_IMAGE_PYTHON,
        node_image=settings.BASE_IMAGE_NODE,
        pip_index_url=settings.BUILD_PIP_INDEX_URL,
        npm_registry=settings.BUILD_NPM_REGISTRY,
        ca_bundle=settings.BUILD_CA_BUNDLE,
        proxies={name: value for name in PROXIES if (value := os.environ.get(name, ""))},
        python_downloads=settings.PYTHON_DOWNLOADS,
        timeout=settings.BUILD_TIMEOUT,
        cache=Path(settings.DATA_DIR) / "cache",
    )


def build_settings_of(server: Server) -> BuildSettings:
    """A build may write to the caches that it mounts, and a Dockerfile names any: those of a team have a name
    that no other team can know."""
    whose = f"team {server.team_id}" if server.team_id else f"owner {server.owner_id}"
    key = hmac.digest(settings.SECRET_KEY.encode(), f"build cache of {whose}".encode(), "sha256").hex()[:24]
    return replace(build_settings(), cache_key=key)


@functools.cache
def credentials() -> CredentialStore:
    """One per process, so that servers and platforms which push at the same time share a refresh."""
    command = settings.REGISTRY_REFRESH_COMMAND
    return CredentialStore(
        settings.REGISTRY_AUTH_DOCKERCONFIG, CommandRefresher(command) if command else None
    )


@functools.lru_cache(256)  # images may lie anywhere
def registry_client(host: str, login: Credential | None = None) -> RegistryClient:
    """With the platform's login, or with `login` alone: whoever asks with another has another client, and no
    token of theirs."""
    return RegistryClient(
        host,
        credentials=credentials() if login is None else OneLogin(login),
        insecure=host in settings.REGISTRY_INSECURE,
        ca_bundle=settings.REGISTRY_CA_BUNDLE,
        address=settings.REGISTRY_ADDRESS if host == settings.REGISTRY.partition("/")[0] else "",
        foreign=not reach.is_known_registry(host),
    )


def registry_auth(ref: Reference) -> dict[str, str] | None:
    """What the engine is told for a pull of `ref`; None for anonymous. Raises `RuntimeFault`."""
    try:
        credential = credentials().for_host(ref.host, ref.repository)
    except RegistryError as error:
        raise RuntimeFault(
            f"There are no credentials to pull from {ref.host} with: {error.message}",
            hint="Correct what REGISTRY_AUTH_DOCKERCONFIG names.",
            kind=error.kind,
            reason=error.reason,
        ) from error
    return None if credential.anonymous else credential.engine_auth(ref.host)


@contextmanager
def registry_faults(doing: str, ref: Reference, slug: str = "") -> Iterator[None]:
    """Turns the registry library's errors into ones that a user can be told; `doing` names the work on `ref`.

    `slug` is the server's whose push can be resumed.
    """
    try:
        yield
    except RegistryError as error:
        message = f"{doing} failed: {error.message.rstrip('.')}."
        hint = registry_advice.advice(error, ref, slug)
        raise UserError(
            message, hint=hint, kind=error.kind, reason=error.reason, permanent=error.permanent
        ) from error


def source_of(server: Server, revision: str = "") -> Source:
    """The source of a server, pinned to `revision` of an earlier deployment where one is given."""
    about = server.source
    if server.source_kind == SourceKind.GIT:
        return GitSource(
            url=about["url"],
            ref=revision or about.get("ref", ""),
            subdirectory=about.get("subdirectory", ""),
            token=_git_token(server),
            protocols=tuple(settings.GIT_PROTOCOLS),
            private_hosts=tuple(settings.GIT_PRIVATE_HOSTS),
            limits=CheckoutLimits(total_bytes=settings.GIT_MAX_BYTES),
            settings=build_settings(),
        )
    if server.source_kind == SourceKind.UPLOAD:
        pinned = uploads.path_of_revision(server, revision) if revision else uploads.path_of(server)
        return ArchiveSource(pinned, subdirectory=about.get("subdirectory", ""))
    if server.source_kind == SourceKind.IMAGE:
        return ImageSource(_pinned(about["reference"], revision), functools.partial(_digest_of, server))
    version = revision.partition("==")[2] or about.get("version", "")
    name, extras = split_extras(about["name"])
    return PackageSource(
        about["ecosystem"],
        name,
        version,
        about.get("command") or shlex.join(server.command),  # whichever was set, none has to be found
        tuple(about.get("arguments", ())),
        build_settings(),
        tuple(dict.fromkeys((*extras, *server.build.get("extras", ())))),
        runtime_choice.runtime_name_for(server) != "process",
    )


def _git_token(server: Server) -> str:
    """Only for the place that it was given for, whatever came between. Raises `SourceError`."""
    if server.pk is None:  # it is only looked at
        return ""
    secret = server.secrets.filter(purpose=SecretPurpose.SOURCE, name=GIT_TOKEN).first()
    if secret is None:
        return ""
    if not secret.origin or secret.origin != server.source_origin:
        raise SourceError(
            f"The access token was given for {secret.origin or 'another place'}: it is not sent to "
            f"{server.source_origin}.",
            hint="Give the token again with the repository's URL, or remove it.",
        )
    return secret.reveal()


def pulls_of(server: Server) -> Pulls:
    """What the server's team may pull, and as whom. Raises `secretbox.Unreadable`."""

    def ask(ref: Reference) -> None:
        try:
            with _reading("Asking for it", pulls, ref) as client:
                client.head_manifest(ref)
        except UserError as error:
            message = f"The base image {ref} cannot be pulled: {error.message}"
            raise BuildError(
                message, hint=error.hint, reason=error.reason, permanent=error.permanent
            ) from error

    pulls = Pulls(pull_policy.rights_of(server), credentials(), pull_policy.logins_of(server), ask)
    return pulls


def pulls_of_our_own(tag: str) -> Pulls:
    """For the platform's own step from an image that it has just built to the next."""
    shared = (Reference.parse(tag).endpoint, *pull_policy.base_images())
    return Pulls(PullRights(shared=shared), credentials())


def image_pull(server: Server, reference: str, *, built_here: bool) -> ImagePull:
    """Who pulls what a deployment of this server starts."""
    if built_here:
        return ImagePull(ours=True, by_platform=True)
    pulls, wanted = pulls_of(server), Reference.parse(reference)
    way = pulls.rights.way_to(wanted)
    login = pulls.credential(wanted.host, way, wanted.repository) if way is Way.TEAM else ANONYMOUS
    return ImagePull(by_platform=way is Way.PLATFORM, username=login.username, password=login.password)


def platforms_of(server: Server, reference: str) -> tuple[str, ...]:
    """The platforms that an image at a registry exists for."""
    wanted = Reference.parse(reference)
    with _reading(f"Reading the image {reference}", pulls_of(server), wanted) as client:
        return client.resolve(wanted)[2]


def start_command(server: Server, reference: str, platform: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """ENTRYPOINT and CMD of an image at a registry, for one platform."""
    wanted = Reference.parse(reference)
    with _reading(f"Reading the image {reference}", pulls_of(server), wanted) as client:
        return inspection.start_command(client, wanted, platform)


@contextmanager
def _reading(doing: str, pulls: Pulls, ref: Reference) -> Iterator[RegistryClient]:
    """The registry as this team may speak to it. Raises `SourceError` for what it may not have."""
    way = pulls.rights.way_to(ref)
    if way is Way.REFUSED:
        raise SourceError(logins.not_yours(ref.endpoint), hint=logins.LIST_IT)
    login = None if way is Way.PLATFORM else pulls.credential(ref.host, way, ref.repository)
    try:
        with registry_faults(doing, ref):
            yield registry_client(ref.host, login)
    except UserError as error:
        told = error.__cause__
        if way is Way.PLATFORM or not isinstance(told, RegistryError):
            raise
        hint = registry_advice.of_a_team(told, way, ref.host)
        kind = "source" if told.keeps_it_back else error.kind
        raise SourceError(
            error.message, hint=hint, kind=kind, reason=error.reason, permanent=error.permanent
        ) from told


def _pinned(reference: str, digest: str) -> str:
    return str(Reference.parse(reference).with_digest(digest)) if digest else reference


def _digest_of(server: Server, reference: str) -> str:
    try:
        wanted = Reference.parse(reference)
    except InvalidReference as error:
        raise SourceError(str(error)) from None
    with _reading(f"Looking up the image {reference}", pulls_of(server), wanted) as client:
        return client.resolve(wanted)[0]
