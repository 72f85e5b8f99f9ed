"""Which runtime a name means, where it keeps what, and how what runs there is called. Cached per process."""

from __future__ import annotations

import functools
from pathlib import Path

from django.conf import settings

import bridge
from hosting import mcp_client
from hosting.errors import RuntimeFault
from hosting.mcp_client import Auth
from hosting.runtimes import kube_client
from hosting.runtimes.base import Runtime
from hosting.runtimes.docker import DockerRuntime
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kubernetes import KubernetesRuntime
from hosting.runtimes.kubernetes_manifests import Placement
from hosting.runtimes.process import ProcessRuntime
from servers import runtime_choice
from servers.deploying import registries

BRIDGE = Path(bridge.__file__).parent


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
            auth=registries.engine_auth,
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


def auth_for(endpoint: str) -> Auth:
    """What an HTTP client needs to call this endpoint: credentials for the API server's alone."""
    return cluster().authenticate if is_behind_api_server(endpoint) else mcp_client.no_auth
