"""Returns runtimes by their names, with their directories and credentials. Cached per process."""

from __future__ import annotations

import functools
from collections.abc import Callable
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
    """Returns the directory of prepared environments: `<server id>/<build number>`."""
    return Path(settings.DATA_DIR) / "runs"


def scratch_directory() -> Path:
    """Returns the directory of scratch spaces, one for each open deployment: `<id>-<claims>`."""
    return Path(settings.DATA_DIR) / "work"


@functools.cache
def runtime(name: str) -> Runtime:
    """Returns the runtime with this name. Raises `RuntimeFault` if this platform does not have it."""
    if name not in MAKERS:
        raise RuntimeFault(f"There is no runtime “{name}” here.", hint=f"Use one of {', '.join(MAKERS)}.")
    return MAKERS[name]()


def _process() -> ProcessRuntime:
    return ProcessRuntime(runs_directory(), BRIDGE)


def _docker() -> DockerRuntime:
    return DockerRuntime(
        runtime_choice.engine_url(),
        network=settings.DOCKER_NETWORK,
        instance=settings.INSTANCE,
        auth=registries.engine_auth,
    )


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


# How each of `hosting.runtimes.kinds` is made of the settings.
MAKERS: dict[str, Callable[[], Runtime]] = {
    "process": _process,
    "docker": _docker,
    "kubernetes": _kubernetes,
}


def goes_through_api_server() -> bool:
    """Tells whether servers on Kubernetes are called through the API server (K8S_REACH).

    `auto` means so if the platform does not run in a pod itself.
    """
    if settings.K8S_REACH != "auto":
        return bool(settings.K8S_REACH == "proxy")
    return not kube_client.is_within()


@functools.cache
def cluster() -> Cluster:
    """Returns the client whose credentials calls through the API server need."""
    return Cluster(settings.K8S_NAMESPACE, settings.K8S_CONTEXT)


def is_behind_api_server(endpoint: str) -> bool:
    """Tells whether an endpoint is called through the API server: only those use https."""
    return endpoint.startswith("https://")


def auth_for(endpoint: str) -> Auth:
    """Returns what adds credentials to a request to this endpoint, if it goes through the API server."""
    return cluster().authenticate if is_behind_api_server(endpoint) else mcp_client.no_auth
