"""Many pushes at once through a token registry whose tokens expire, and deployments under random faults."""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from access.actor import PLATFORM
from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.registry import Registry
from hosting.builder.base import BuiltImage
from hosting.deadline import Deadline
from metrics import payload
from metrics.models import UsageMetric
from registry.client import INDEX_TYPES, RegistryClient
from registry.credentials import CredentialStore
from registry.errors import RegistryError
from registry.reference import Reference
from servers import image_names, services
from servers.deploying import publishing, pushing
from servers.logbook import Logbook
from servers.models import Deployment, Server
from servers.states import DeploymentStatus
from servers.timeline import Timeline
from tests.accounts import make_deployment
from tests.docs.telemetry import undocumented
from tests.eventually import eventually
from tests.metrics import contract
from tests.platform import Platform, forget_adapters
from tests.registry.conftest import MakeImage, make_image, write_config

__all__ = ["make_image"]
pytestmark = pytest.mark.real

AMD, ARM = "linux/amd64", "linux/arm64"
# Every token is stale a moment after it was given, and each blob takes longer than that.
STALE = {"expiry": 2, "jwt_skew": -60}
SLOW = [{"method": "PATCH", "action": "delay_response", "seconds": 4}]


class Refresher:
    """A refresh command that notes each of its runs, and ends when `finish` is called."""

    def __init__(self, directory: Path) -> None:
        self._runs, self._go = directory / "runs", directory / "go"
        self.script = directory / "refresh.sh"
        self.script.write_text(
            f"#!/bin/sh\necho $REGISTRY_HOST >> {self._runs}\n"
            f"while [ ! -e {self._go} ]; do sleep 0.05; done\n"
        )
        self.script.chmod(0o755)

    @property
    def runs(self) -> int:
        return len(self._runs.read_text().splitlines()) if self._runs.exists() else 0

    def finish(self) -> None:
        self._go.touch()


@pytest.fixture
def expiring(
    settings: Any, registry_token: Registry, tmp_path: Path, docker_host: str
) -> Iterator[tuple[FaultProxy, Refresher]]:
    """A token registry behind a proxy, its login in a file, and a refresh command."""
    proxy, refresher, config = FaultProxy(registry_token.host), Refresher(tmp_path), tmp_path / "config.json"
    write_config(config, proxy.host, registry_token.username, registry_token.password)
    settings.REGISTRY = f"{proxy.host}/{uuid.uuid4().hex[:8]}"
    settings.REGISTRY_AUTH_DOCKERCONFIG, settings.REGISTRY_REFRESH_COMMAND = config, [str(refresher.script)]
    settings.DOCKER_HOST, settings.REGISTRY_ARCH_TARGETS = docker_host, [AMD]
    settings.REGISTRY_AUTH_LEAD_SECONDS = 0
    settings.DEPLOYMENTS_PARALLEL = 5
    yield proxy, refresher
    refresher.finish()
    proxy.close()


def heal(proxy: FaultProxy, registry: Registry, refresher: Refresher) -> None:
    """What was stale is renewed while the one refresh runs."""
    eventually(lambda: refresher.runs, within=120, what="a rejected token asks for a refresh")
    proxy.clear()
    registry.control({})
    refresher.finish()


def events_of(deployment: Deployment) -> list[dict[str, Any]]:
    return [payload.of(metric) for metric in UsageMetric.objects.filter(deployment=deployment).order_by("pk")]


def assert_told(deployment: Deployment) -> list[str]:
    """The contract's keys, types and order held, and nothing was told that the page does not know."""
    events = events_of(deployment)
    assert contract.violations(events) == []
    assert contract.order_violations(events) == []
    assert [sentence for event in events for sentence in undocumented(event)] == []
    return [event["event_type"] for event in events]


def client_of(registry: Registry, tmp_path: Path) -> RegistryClient:
    """Another client than the platform's, straight to the registry."""
    config = None
    if registry.username:
        config = tmp_path / "straight.json"
        write_config(config, registry.host, registry.username, registry.password)
    return RegistryClient(registry.host, credentials=CredentialStore(config))


def deliver(server: Server, image: str) -> Deployment:
    """The push and publish steps of a deployment whose image was built before."""
    built = {"revision": uuid.uuid4().hex, "platforms": [AMD], "runtime": "docker"}
    deployment = make_deployment(server, status=DeploymentStatus.RUNNING, **built)
    try:
        with Logbook(server.pk, deployment.pk) as logbook:
            to, deadline = pushing.destination_of(Timeline(deployment, logbook)), Deadline.of(120)
            pushed = pushing.push_all(to, {AMD: BuiltImage(AMD, image, "", 0)}, deadline)
            published = publishing.publish(to, pushed, deadline, any_platform=False)
            deployment.build.keep(digest=published.digest)
    finally:
        connection.close()
    return deployment


def test_twenty_servers_push_at_once_while_their_tokens_expire(
    expiring: tuple[FaultProxy, Refresher],
    idle: Platform,
    make_image: MakeImage,
    registry_token: Registry,
    tmp_path: Path,
) -> None:
    proxy, refresher = expiring
    servers = [idle.hello(f"load-{number}") for number in range(20)]
    images = [make_image() for _ in servers]
    registry_token.control(STALE)
    proxy.set(SLOW)
    with ThreadPoolExecutor(20) as pool:
        pushes = [pool.submit(deliver, *each) for each in zip(servers, images, strict=True)]
        heal(proxy, registry_token, refresher)
        deployments = [push.result(timeout=120) for push in pushes]

    assert refresher.runs == 1, "one refresh for the one expiry"
    straight = client_of(registry_token, tmp_path)
    for deployment in deployments:
        target = image_names.target_of(deployment.build)
        held = straight.head_manifest(Reference(registry_token.host, target.repository, target.tag))
        assert held.digest == deployment.build.digest
    told = [kind for deployment in deployments for kind in assert_told(deployment)]
    assert told.count("push_succeeded") == 20
    assert "push_failed" not in told
    assert told.count("auth_refresh_succeeded") == told.count("auth_refresh_started") >= 1


def test_five_deployments_whose_login_is_revoked_and_renewed_in_the_middle(
    expiring: tuple[FaultProxy, Refresher],
    platform: Platform,
    settings: Any,
    base_images: dict[str, str],
    registry_token: Registry,
    tmp_path: Path,
) -> None:
    proxy, refresher = expiring
    settings.CONTAINER_RUNTIME, settings.HEALTH_TIMEOUT = "docker", 60
    forget_adapters()
    lines = f'FROM {base_images["busybox"]}\nCMD ["true"]\n'
    servers = [
        platform.server(
            f"five-{n}", {"Dockerfile": f"{lines}LABEL number={n}\n"}, transport="streamable-http"
        )
        for n in range(5)
    ]
    registry_token.control(STALE)
    proxy.set(SLOW)
    deployments = [platform.request(server) for server in servers]
    heal(proxy, registry_token, refresher)
    ended = [platform.ended(deployment, within=120) for deployment in deployments]

    assert refresher.runs == 1
    straight = client_of(registry_token, tmp_path)
    for deployment in ended:
        told = assert_told(deployment)
        assert {"push_succeeded", "start_started"} <= set(told)
        target = image_names.target_of(deployment.build)
        held = straight.head_manifest(Reference(registry_token.host, target.repository, target.tag))
        assert held.digest == deployment.build.digest
        assert deployment.error_kind == "runtime", "it ends at once, which is not the registry's fault"
    delete_all()


PASSING: list[dict[str, Any]] = [
    {"action": "reset"},
    {"action": "close"},
    {"action": "status", "status": 429, "headers": {"Retry-After": "0"}},
    {"action": "status", "status": 500, "body": "no"},
    {"action": "status", "status": 503},
    {"action": "delay", "seconds": 0.3},
]
DENIED = {"action": "status", "status": 403, "body": '{"errors":[{"code":"DENIED","message":"no"}]}'}
METHODS = ("PUT", "HEAD", "GET")


def passing(dice: random.Random) -> list[dict[str, Any]]:
    """Fewer faults of manifests than attempts; and one of a blob, which the engine itself gets over."""
    faults = [_of_manifests(dice, fault, 1) for fault in dice.sample(PASSING, 2)]
    return [*faults, {"method": "PATCH", "path": "/blobs/", "times": 1, "action": "reset", "after": 10}]


def lasting(dice: random.Random) -> list[dict[str, Any]]:
    """One fault that stays."""
    return [_of_manifests(dice, dice.choice(PASSING[:-1]), 1000)]


def mixed(dice: random.Random) -> list[dict[str, Any]]:
    return [_of_manifests(dice, fault, dice.randint(1, 3)) for fault in dice.sample([*PASSING, DENIED], 3)]


def _of_manifests(dice: random.Random, fault: dict[str, Any], times: int) -> dict[str, Any]:
    return {"method": dice.choice(METHODS), "path": "/manifests/", "times": times, **fault}


@pytest.mark.parametrize(
    ("kind", "seed"), [(passing, 0), (passing, 1), (lasting, 2), (lasting, 3), (mixed, 4), (mixed, 5)]
)
def test_random_faults_end_published_or_with_a_reason(
    platform: Platform,
    settings: Any,
    docker_host: str,
    base_images: dict[str, str],
    fault_proxy: FaultProxy,
    registry_plain: Registry,
    tmp_path: Path,
    kind: Callable[[random.Random], list[dict[str, Any]]],
    seed: int,
) -> None:
    settings.REGISTRY, settings.REGISTRY_PUSH_RETRIES = f"{fault_proxy.host}/chaos-{uuid.uuid4().hex[:8]}", 3
    settings.CONTAINER_RUNTIME, settings.DOCKER_HOST, settings.HEALTH_TIMEOUT = "docker", docker_host, 60
    settings.REGISTRY_ARCH_TARGETS, settings.REGISTRY_MOVING_TAG = [AMD, ARM], "stable"
    forget_adapters()
    lines = f'FROM {base_images["busybox"]}\nCMD ["true"]\nLABEL seed={uuid.uuid4().hex}\n'
    server = platform.server("chaos", {"Dockerfile": lines}, transport="streamable-http")
    fault_proxy.set(kind(random.Random(seed)))
    deployment = platform.ended(platform.request(server), within=120)
    fault_proxy.clear()

    told = assert_told(deployment)
    straight = client_of(registry_plain, tmp_path)
    whole = stands_whole(straight, image_names.target_of(deployment.build), registry_plain.host)
    published = steps_of(deployment).get("publish") == "succeeded"
    if kind is not mixed:
        assert published == (kind is passing), deployment.error
    if published:
        assert whole
        assert {"manifest_published", "start_started"} <= set(told)
        assert deployment.error_kind == "runtime", "it ends at once, which is not the registry's fault"
    else:
        assert deployment.error_kind in {"push", "remote"}, deployment.error
        assert "manage.py redeploy chaos --mode resume --wait" in deployment.error
        assert platform.fresh(server).error == deployment.error
        assert "push_failed" in told or steps_of(deployment)["publish"] == "failed"
    assert told[-1] == "deploy_failed"
    delete_all()


def test_a_moving_tag_is_tried_again(
    platform: Platform,
    settings: Any,
    docker_host: str,
    base_images: dict[str, str],
    fault_proxy: FaultProxy,
    registry_plain: Registry,
    tmp_path: Path,
) -> None:
    settings.REGISTRY, settings.REGISTRY_MOVING_TAG = f"{fault_proxy.host}/moved", "stable"
    settings.CONTAINER_RUNTIME, settings.DOCKER_HOST, settings.HEALTH_TIMEOUT = "docker", docker_host, 60
    forget_adapters()
    lines = f'FROM {base_images["busybox"]}\nCMD ["true"]\n'
    server = platform.server("moved", {"Dockerfile": lines}, transport="streamable-http")
    deployment = platform.ended(platform.request(server))
    assert steps_of(deployment)["publish"] == "succeeded"
    fault_proxy.set([{"method": "PUT", "path": "/manifests/stable", **PASSING[4], "times": 1}])
    with Logbook(server.pk, deployment.pk) as logbook:
        publishing.move_tag(Timeline(deployment, logbook))
    assert f"Tag stable moved to {deployment.build.digest}" in platform.log(deployment)
    held = client_of(registry_plain, tmp_path).head_manifest(
        Reference(registry_plain.host, "moved/moved", "stable")
    )
    assert held.digest == deployment.build.digest
    delete_all()


def steps_of(deployment: Deployment) -> dict[str, str]:
    return dict(deployment.steps.filter(platform="").values_list("kind", "status"))


def stands_whole(client: RegistryClient, target: Reference, host: str) -> bool:
    """Whether an index stands under the tag; one that does has an image of each platform behind it."""
    ref = Reference(host, target.repository, target.tag)
    try:
        index = client.get_manifest(ref)
    except RegistryError as fault:
        if not fault.not_found:
            raise
        return False
    assert index.media_type in INDEX_TYPES
    assert set(client.resolve(ref)[2]) == {AMD, ARM}
    for entry in index.content["manifests"]:
        child = client.get_manifest(ref.with_digest(entry["digest"]))
        assert child.size == entry["size"]
        for layer in child.content["layers"]:
            client.get_blob(ref, layer["digest"])
    return True


def delete_all() -> None:
    for server in Server.objects.all():
        with contextlib.suppress(Server.DoesNotExist):
            services.delete(server=server, by=PLATFORM)
    eventually(lambda: not Server.objects.exists(), within=120, what="every server is deleted")
