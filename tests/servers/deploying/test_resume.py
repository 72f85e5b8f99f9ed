"""What a resumed deployment takes over and what it does again, on a real engine and real registries."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from access.actor import Actor
from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.registry import Registry
from hosting.errors import Invalid
from metrics.models import UsageMetric
from servers import image_names, services
from servers.deploying import registries
from servers.models import Deployment, Server
from servers.push_options import PushOptions
from servers.states import DeploymentStatus, Mode, Trigger
from tests.eventually import eventually
from tests.platform import Platform, forget_adapters
from tests.registry.conftest import write_config
from tests.servers.deploying.test_delivery import mute, on_docker

__all__ = ["on_docker"]
pytestmark = pytest.mark.real

AMD, ARM = "linux/amd64", "linux/arm64"
REFUSE_ARM: dict[str, Any] = {
    "method": "PUT|HEAD", "path": "/manifests/.*arm64", "action": "status", "status": 503,
}  # fmt: skip


def again(platform: Platform, server: Server, **options: Any) -> Deployment:
    """Resumes with `options`, and waits for the end."""
    made = services.deploy(
        server=server,
        by=Actor(platform.owner),
        trigger=Trigger.API,
        mode=Mode.RESUME,
        options=PushOptions(**options),
    )
    return platform.ended(made)


def details(deployment: Deployment, kind: str, platform: str) -> dict[str, Any]:
    return dict(deployment.steps.get(kind=kind, platform=platform).details)


def pushed(deployment: Deployment) -> set[str]:
    """The platforms for which the engine was asked to push."""
    events = UsageMetric.objects.filter(deployment=deployment, event_type="push_started")
    return set(events.values_list("platform", flat=True))


@pytest.fixture
def half(
    on_docker: Platform, settings: Any, fault_proxy: FaultProxy, base_images: dict[str, str]
) -> tuple[Server, Deployment]:
    """A server of two platforms whose push of linux/arm64 failed when linux/amd64 had arrived."""
    settings.REGISTRY, settings.REGISTRY_PUSH_RETRIES = f"{fault_proxy.host}/half", 2
    settings.REGISTRY_ARCH_TARGETS = [AMD, ARM]
    arrived = threading.Event()
    fault_proxy.set([{**REFUSE_ARM, "gate": arrived}])
    server = mute(on_docker, base_images, "half")
    failed = on_docker.request(server)
    of_amd = failed.steps.filter(kind="push", platform=AMD, status="succeeded")
    eventually(of_amd.exists, within=120, what="one platform arrives")
    arrived.set()
    failed = on_docker.ended(failed)
    assert (failed.status, failed.error_kind) == (DeploymentStatus.FAILED, "remote"), failed.error
    assert failed.steps.get(kind="push", platform=AMD).status == "succeeded"
    fault_proxy.clear()
    return server, failed


def test_what_arrived_is_taken_over_at_the_registry(
    on_docker: Platform, half: tuple[Server, Deployment]
) -> None:
    server, failed = half
    resumed = again(on_docker, server)
    assert pushed(resumed) == {ARM}
    taken = details(resumed, "push", AMD)
    assert taken["taken_over"] is True
    assert taken["digest"] == details(failed, "push", AMD)["digest"]
    assert resumed.build.images[AMD]["digest"] == taken["digest"]
    assert details(resumed, "publish", "")["digest"] == resumed.build.digest
    target = image_names.target_of(resumed.build)
    tags = registries.client(target.host).tags(target)
    assert {target.tag, f"{target.tag}-linux-amd64", f"{target.tag}-linux-arm64"} <= set(tags)
    assert details(resumed, "build", ARM)["taken_over"] is True


def test_one_platform_is_built_and_pushed_anew(on_docker: Platform, half: tuple[Server, Deployment]) -> None:
    server, _ = half
    resumed = again(on_docker, server, platform_anew=ARM)
    assert pushed(resumed) == {ARM}
    assert "taken_over" not in details(resumed, "build", ARM)
    assert details(resumed, "build", AMD)["taken_over"] is True
    assert set(resumed.build.images) == {AMD, ARM}


def test_what_the_registry_lost_is_pushed_again(
    on_docker: Platform, half: tuple[Server, Deployment], fault_proxy: FaultProxy
) -> None:
    server, failed = half
    gone = details(failed, "push", AMD)["digest"]
    fault_proxy.set([{"path": f"/manifests/{gone}", "action": "status", "status": 404, "times": 1}])
    assert pushed(again(on_docker, server)) == {AMD, ARM}


def test_a_deployment_has_retries_of_its_own(
    on_docker: Platform, half: tuple[Server, Deployment], fault_proxy: FaultProxy
) -> None:
    server, _ = half
    fault_proxy.set([REFUSE_ARM | {"method": "PUT", "times": 3}])
    resumed = again(on_docker, server, push_retries=4)
    assert resumed.build.digest
    assert on_docker.events(resumed).count("push_retry") == 3


def test_options_that_fit_nothing_are_named(half: tuple[Server, Deployment], on_docker: Platform) -> None:
    server, _ = half
    for options, said in (
        ({"platform_anew": "linux/s390x"}, "It has no platform linux/s390x: linux/amd64, linux/arm64."),
        ({"push_retries": 0}, "From 1 to 20 attempts."),
    ):
        with pytest.raises(Invalid, match=said):
            again(on_docker, server, **options)
    assert server.deployments.count() == 1


@pytest.fixture
def rejected(
    on_docker: Platform,
    settings: Any,
    registry_token: Registry,
    base_images: dict[str, str],
    tmp_path: Path,
) -> tuple[Server, Path]:
    """A server whose push failed because the password had changed; `good.json` is what would help."""
    config, good = tmp_path / "config.json", tmp_path / "good.json"
    write_config(config, registry_token.host, registry_token.username, "of yesterday")
    settings.REGISTRY = f"{registry_token.host}/rejected"
    settings.REGISTRY_AUTH_DOCKERCONFIG = config
    settings.REGISTRY_REFRESH_COMMAND = ["cp", str(good), str(config)]
    forget_adapters()
    server = mute(on_docker, base_images, "rejected")
    failed = on_docker.deploy(server)
    assert (failed.status, failed.error_kind) == (DeploymentStatus.FAILED, "auth_expired"), failed.error
    write_config(good, registry_token.host, registry_token.username, registry_token.password)
    return server, good


def test_credentials_are_renewed_before_the_push(on_docker: Platform, rejected: tuple[Server, Path]) -> None:
    server, _ = rejected
    resumed = again(on_docker, server, refresh_credentials=True)
    assert resumed.build.digest
    step = resumed.steps.get(kind="credentials")
    assert (step.status, step.details["status"]) == ("succeeded", "healthy")
    assert "Registry credentials refreshed on request" in on_docker.log(resumed)
    events = on_docker.events(resumed)
    assert events.count("auth_health_reported") == 2
    assert "push_retry" not in events


def test_a_refresh_that_fails_ends_before_the_push(
    on_docker: Platform, rejected: tuple[Server, Path]
) -> None:
    server, good = rejected
    good.unlink()
    resumed = again(on_docker, server, refresh_credentials=True)
    assert (resumed.status, resumed.error_kind) == (DeploymentStatus.FAILED, "auth_expired")
    step = resumed.steps.get(kind="credentials")
    assert (step.status, step.error) == ("failed", resumed.error)
    assert "Run REGISTRY_REFRESH_COMMAND by hand" in resumed.error
    assert "push_started" not in on_docker.events(resumed)
