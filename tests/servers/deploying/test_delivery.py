"""Builds, pushes and what becomes of them, on a real engine and real registries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from access.actor import PLATFORM
from deploy.bench.engine import Engine
from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.registry import Registry
from metrics.models import UsageMetric
from registry.errors import RegistryError
from registry.reference import Reference
from servers import image_names, runtime_choice, services
from servers.deploying import publishing, registries, retention
from servers.logbook import Logbook
from servers.models import Deployment, Server
from servers.states import DeploymentStatus, Mode, ServerStatus
from servers.timeline import Timeline
from tests.eventually import eventually
from tests.platform import Platform, forget_adapters

pytestmark = pytest.mark.real


@pytest.fixture
def on_docker(
    platform: Platform, settings: Any, docker_host: str, base_images: dict[str, str]
) -> Iterator[Platform]:
    settings.CONTAINER_RUNTIME, settings.DOCKER_HOST = "docker", docker_host
    settings.HEALTH_TIMEOUT = 60
    forget_adapters()
    yield platform
    for server in Server.objects.all():
        services.delete(server=server, by=PLATFORM)
    eventually(lambda: not Server.objects.exists(), within=120, what="every server is deleted")


def dockerfile(base_images: dict[str, str]) -> str:
    """An image that builds in a second and ends at once, so that its deployment fails after the push."""
    return f'FROM {base_images["busybox"]}\nRUN echo built > /marker\nCMD ["true"]\n'


def mute(platform: Platform, base_images: dict[str, str], slug: str = "mute") -> Server:
    files = {"Dockerfile": dockerfile(base_images)}
    return platform.server(slug, files, transport="streamable-http")


def tags_at(server: Server) -> set[str]:
    target = image_names.reference(server, "any")
    return set(registries.client(target.host).tags(target))


def digest_at(server: Server, tag: str) -> str:
    target = image_names.reference(server, tag)
    return registries.client(target.host).head_manifest(target).digest


def test_a_failed_start_resumes_without_building_or_pushing(
    on_docker: Platform, settings: Any, registry_plain: Registry, base_images: dict[str, str]
) -> None:
    settings.REGISTRY = f"{registry_plain.host}/resume"
    server = mute(on_docker, base_images)
    failed = on_docker.deploy(server)
    assert (failed.status, failed.error_kind) == (DeploymentStatus.FAILED, "runtime")
    assert failed.build.image.endswith(failed.build.digest)

    resumed = on_docker.deploy(server, Mode.RESUME)
    assert resumed.based_on == failed
    assert not {"clone_started", "build_started", "push_started"} & set(on_docker.events(resumed))
    assert "start_started" in on_docker.events(resumed)
    assert resumed.build.image == failed.build.image


def test_a_failed_push_resumes_without_building(
    on_docker: Platform, settings: Any, fault_proxy: FaultProxy, base_images: dict[str, str]
) -> None:
    settings.REGISTRY, settings.REGISTRY_PUSH_RETRIES = f"{fault_proxy.host}/again", 1
    fault_proxy.set(
        [{"method": "PUT", "path": "/manifests/", "action": "status", "status": 500, "body": "no"}]
    )
    server = mute(on_docker, base_images)
    failed = on_docker.deploy(server)
    assert (failed.status, failed.steps.get(kind="push").status) == (DeploymentStatus.FAILED, "failed")
    assert on_docker.fresh(server).status == ServerStatus.ERROR

    fault_proxy.clear()
    resumed = on_docker.deploy(server, Mode.RESUME)
    build = resumed.steps.get(kind="build")
    assert build.details["taken_over"] is True
    assert build.details["image_id"] == failed.steps.get(kind="build").details["image_id"]
    assert "push_succeeded" in on_docker.events(resumed)


def test_the_moving_tag_follows_what_serves(
    on_docker: Platform, settings: Any, registry_plain: Registry, base_images: dict[str, str]
) -> None:
    settings.REGISTRY, settings.REGISTRY_MOVING_TAG = f"{registry_plain.host}/moving", "stable"
    server = mute(on_docker, base_images)
    failed = on_docker.deploy(server)
    assert "stable" not in tags_at(server)

    with Logbook(server.pk, failed.pk) as logbook:
        publishing.move_tag(Timeline(failed, logbook))  # as the deployer does once it serves
    assert f"Tag stable moved to {failed.build.digest}" in on_docker.log(failed)
    assert (
        digest_at(server, "stable")
        == digest_at(server, image_names.target_of(failed.build).tag)
        == failed.build.digest
    )


def test_tags_of_failed_deployments_go_with_the_next_one(
    on_docker: Platform, settings: Any, registry_plain: Registry, base_images: dict[str, str]
) -> None:
    settings.REGISTRY = f"{registry_plain.host}/pruned"
    server = mute(on_docker, base_images)
    first = on_docker.deploy(server)
    on_docker.upload(server, {"Dockerfile": dockerfile(base_images) + "LABEL round=two\n"})
    second = on_docker.deploy(server)
    retention.forget_old_builds(on_docker.fresh(server))

    assert image_names.target_of(second.build).tag in tags_at(server)
    with pytest.raises(RegistryError) as gone:
        digest_at(server, image_names.target_of(first.build).tag)
    assert gone.value.not_found


def test_credentials_are_looked_at_before_the_push_and_refreshed_when_they_end(
    on_docker: Platform, settings: Any, registry_basic: Registry, base_images: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps({"auths": {registry_basic.host: {"username": "ci", "password": "long gone"}}})
    )
    good = {
        "auths": {
            registry_basic.host: {"username": registry_basic.username, "password": registry_basic.password}
        }
    }
    (tmp_path / "good.json").write_text(json.dumps(good))
    settings.REGISTRY, settings.REGISTRY_AUTH_DOCKERCONFIG = f"{registry_basic.host}/refreshed", config
    settings.REGISTRY_REFRESH_COMMAND = ["cp", str(tmp_path / "good.json"), str(config)]
    forget_adapters()
    deployment = on_docker.deploy(mute(on_docker, base_images))

    reported = UsageMetric.objects.filter(deployment=deployment, event_type="auth_health_reported").order_by(
        "pk"
    )
    assert [m.details["status"] for m in reported] == ["expired", "healthy"]
    assert "push_succeeded" in on_docker.events(deployment)
    told = on_docker.log(deployment) + json.dumps(list(UsageMetric.objects.values_list("details", flat=True)))
    assert registry_basic.password not in told


def test_a_deleted_server_takes_its_tags_along(
    on_docker: Platform, settings: Any, registry_plain: Registry, base_images: dict[str, str]
) -> None:
    settings.REGISTRY, settings.REGISTRY_MOVING_TAG = f"{registry_plain.host}/deleted", "none"
    server = mute(on_docker, base_images)
    deployment = on_docker.deploy(server)
    target = image_names.target_of(deployment.build)
    client = registries.client(target.host)
    retention.remove_everything_of(on_docker.fresh(server))

    with pytest.raises(RegistryError) as gone:
        client.head_manifest(Reference(target.host, target.repository, target.tag))
    assert gone.value.not_found


def test_an_engine_that_is_away_is_named(
    on_docker: Platform, settings: Any, own_engine: Engine, base_images: dict[str, str]
) -> None:
    settings.DOCKER_HOST = own_engine.host
    forget_adapters()
    runtime_choice.builder()
    own_engine.daemon.stop()
    deployment = on_docker.deploy(mute(on_docker, base_images))

    assert deployment.status == DeploymentStatus.FAILED
    assert "engine" in deployment.error.lower()
    assert Deployment.objects.get(pk=deployment.pk).live_run is None
