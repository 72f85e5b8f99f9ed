"""A platform whose servers run on a real cluster: engine, registry, API server, kubelet."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kubernetes import utils

from deploy.bench.registry import Registry
from servers.models import Server
from tests.e2e.hosting import DockerPlatform
from tests.eventually import eventually
from tests.kubernetes.conftest import Admin, Json
from tests.platform import Platform, forget_adapters, platform, quick

__all__ = ["hosted", "platform", "quick"]

ROLES = Path(__file__).parents[2] / "deploy/kubernetes"
GRANTS = {"role.yaml": ("patch", "deployments"), "role-proxy.yaml": ("get", "services/proxy")}


class KubernetesPlatform(DockerPlatform):
    """`cluster` is the namespace of its servers, seen by the cluster's administrator."""

    cluster: Admin

    def listening(self, slug: str, *lines: str, **fields: Any) -> Server:
        """A busybox that is said to speak HTTP."""
        return self.server(slug, self.busybox(*lines), transport="streamable-http", **fields)

    def pods(self, server: Server) -> list[Json]:
        wanted = str(server.pk)
        return [
            pod
            for pod in self.cluster.pods()
            if pod["metadata"]["labels"].get("mcphost/server") == wanted
            and "deletionTimestamp" not in pod["metadata"]
        ]


def grant(admin: Admin, *names: str) -> None:
    """Exactly what these files of deploy/kubernetes hold, once it is in force."""
    for name in names:
        utils.create_from_yaml(admin.api, str(ROLES / name), namespace=admin.namespace)
        eventually(partial(admin.may, "mcphost", *GRANTS[name]), what=f"{name} is in force")


@pytest.fixture
def on_kubernetes(
    settings: Any,
    quick: None,
    docker_host: str,
    registry_plain: Registry,
    base_images: dict[str, str],
    cluster: Admin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Settings of a platform outside of the cluster, with the rights of its roles and no others."""
    grant(cluster, "role.yaml", "role-proxy.yaml")
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig_of("mcphost", tmp_path)))
    settings.CONTAINER_RUNTIME, settings.DOCKER_HOST = "kubernetes", docker_host
    settings.REGISTRY, settings.REGISTRY_ARCH_TARGETS = f"{registry_plain.host}/kube", ["linux/amd64"]
    settings.BASE_IMAGE_PYTHON, settings.BASE_IMAGE_NODE = base_images["python"], base_images["node"]
    settings.K8S_NAMESPACE, settings.K8S_REACH = cluster.namespace, "proxy"
    settings.HEALTH_TIMEOUT, settings.REGISTRY_PUSH_RETRIES = 90, 2
    forget_adapters()


@pytest.fixture
def hosted(
    on_kubernetes: None, platform: Platform, settings: Any, base_images: dict[str, str], cluster: Admin
) -> Iterator[KubernetesPlatform]:
    """In the end every server is deleted, and nothing may be left of them on the cluster."""
    found = KubernetesPlatform(platform.owner)
    found.engine_url, found.base, found.data = settings.DOCKER_HOST, base_images, settings.DATA_DIR
    found.cluster = cluster
    yield found
    found.delete_everything()
    ours = f"mcp-{settings.INSTANCE[:6]}-"
    eventually(
        lambda: not [name for name in cluster.objects() if f"/{ours}" in name],
        within=120,
        what=f"{[name for name in cluster.objects() if f'/{ours}' in name]} is gone",
    )
