"""A push whose credential is refreshed renews the pull secret, on a real engine, registry and API server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from access.actor import PLATFORM
from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.registry import Registry
from metrics.models import UsageMetric
from servers import services
from servers.models import Deployment, Server
from tests.eventually import eventually
from tests.kubernetes.conftest import Admin
from tests.platform import Platform, forget_adapters, platform, quick

__all__ = ["platform", "quick"]
pytestmark = [pytest.mark.kubernetes, pytest.mark.real]

# What an operator's command would do: it writes the renewed file.
REFRESH = "import pathlib, sys; pathlib.Path(sys.argv[2]).write_bytes(pathlib.Path(sys.argv[1]).read_bytes())"


def docker_config(host: str, password: str) -> str:
    return json.dumps({"auths": {host: {"username": "ci", "password": password}}})


@pytest.fixture
def refreshing(
    platform: Platform, settings: Any, docker_host: str, fault_proxy: FaultProxy, admin: Admin, tmp_path: Path
) -> Iterator[Platform]:
    """The registry rejects the credential once, while an image is pushed."""
    config, renewed = tmp_path / "config.json", tmp_path / "renewed.json"
    config.write_text(docker_config(fault_proxy.host, "long gone"))
    renewed.write_text(docker_config(fault_proxy.host, "fresh and secret"))
    settings.CONTAINER_RUNTIME, settings.DOCKER_HOST, settings.HEALTH_TIMEOUT = "docker", docker_host, 1
    settings.REGISTRY, settings.REGISTRY_AUTH_DOCKERCONFIG = f"{fault_proxy.host}/renewed", config
    settings.REGISTRY_REFRESH_COMMAND = [sys.executable, "-c", REFRESH, str(renewed), str(config)]
    settings.K8S_REGISTRY_SECRET_NAME, settings.K8S_NAMESPACE = "pull", admin.namespace
    rejected = json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]})
    fault_proxy.set(
        [
            {
                "method": "PUT",
                "path": "/manifests/",
                "action": "status",
                "status": 401,
                "body": rejected,
                "times": 1,
            }
        ]
    )
    forget_adapters()
    yield platform
    for server in Server.objects.all():
        services.delete(server=server, by=PLATFORM)
    eventually(lambda: not Server.objects.exists(), within=120, what="every server is deleted")


def pushed(platform: Platform, base_images: dict[str, str]) -> Deployment:
    """An image that never answers MCP: it is the push that counts."""
    files = {"Dockerfile": f'FROM {base_images["busybox"]}\nRUN echo built > /marker\nCMD ["sleep", "600"]\n'}
    return platform.deploy(platform.server("mute", files, transport="streamable-http"))


def details_of(deployment: Deployment, event: str) -> dict[str, Any]:
    found: dict[str, Any] = UsageMetric.objects.get(deployment=deployment, event_type=event).details
    return found


def test_a_refreshed_credential_reaches_the_nodes(
    refreshing: Platform, admin: Admin, fault_proxy: FaultProxy, base_images: dict[str, str]
) -> None:
    deployment = pushed(refreshing, base_images)
    events = refreshing.events(deployment)
    assert events.index("auth_refresh_succeeded") < events.index("pull_secret_patched")
    assert events.index("pull_secret_patched") < events.index("push_succeeded")
    about = {"secret": "pull", "namespace": admin.namespace, "changed": True}
    assert about.items() <= details_of(deployment, "pull_secret_patched").items()
    assert admin.content("pull")["auths"][fault_proxy.host]["password"] == "fresh and secret"
    told = refreshing.log(deployment) + json.dumps(
        list(UsageMetric.objects.values_list("details", flat=True))
    )
    assert "fresh and secret" not in told


def test_so_does_one_that_was_refreshed_ahead_of_the_push(
    refreshing: Platform, settings: Any, admin: Admin, registry_basic: Registry, base_images: dict[str, str]
) -> None:
    config, host = settings.REGISTRY_AUTH_DOCKERCONFIG, registry_basic.host
    config.write_text(docker_config(host, "long gone"))
    config.with_name("renewed.json").write_text(docker_config(host, registry_basic.password))
    settings.REGISTRY = f"{host}/ahead"
    forget_adapters()
    deployment = pushed(refreshing, base_images)
    events = refreshing.events(deployment)
    assert "push_retry" not in events
    assert events.index("pull_secret_patched") < events.index("push_started")
    assert admin.content("pull")["auths"][host]["password"] == registry_basic.password


def test_a_secret_that_cannot_be_patched_never_fails_the_push_and_shows(
    refreshing: Platform, settings: Any, base_images: dict[str, str]
) -> None:
    settings.K8S_NAMESPACE = "nowhere"
    deployment = pushed(refreshing, base_images)
    assert "push_succeeded" in refreshing.events(deployment)
    failure = details_of(deployment, "pull_secret_failed")
    assert "The namespace nowhere does not exist." in failure["error"]
    assert failure["error_kind"] == "runtime"
    assert "The pull secret was not renewed" in refreshing.log(deployment)
