"""How much somebody reads who follows a deployment from the worker to a container that runs."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.bench.registry import Registry
from hosting.runtimes.docker import DockerRuntime
from servers.deploying import tasks
from servers.models import Deployment
from tests.platform import Platform, forget_adapters
from tests.way import followed

pytestmark = pytest.mark.real

FILES, LEADING, RETURNS = 51, 32, 166


def test_the_way_of_a_deployment_grows_no_longer(
    idle: Platform, settings: Any, docker_host: str, registry_plain: Registry, base_images: dict[str, str]
) -> None:
    """An archive with a Dockerfile, for two platforms: `pytest -s` shows what was counted."""
    settings.CONTAINER_RUNTIME, settings.DOCKER_HOST = "docker", docker_host
    settings.REGISTRY, settings.HEALTH_TIMEOUT = f"{registry_plain.host}/way", 5
    settings.REGISTRY_ARCH_TARGETS = ["linux/amd64", "linux/arm64"]
    forget_adapters()
    files = {"Dockerfile": f'FROM {base_images["busybox"]}\nCMD ["true"]\n'}
    deployment = idle.request(idle.server("way", files, transport="streamable-http"))
    with followed(until=DockerRuntime.start) as way:
        tasks.deploy.fn(deployment.pk)
    print(way.told())

    steps = Deployment.objects.get(pk=deployment.pk).steps.values_list("kind", flat=True)
    assert {"clone", "build", "push", "publish", "start"} <= set(steps)
    counted = len(way.files), len(way.files) - len(way.leaves), len(way.returns)
    assert counted <= (FILES, LEADING, RETURNS)
