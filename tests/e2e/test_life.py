"""A server's life on Docker after it was deployed: rolled back, stopped, started, killed, deleted."""

from __future__ import annotations

import pytest

from access.actor import PLATFORM, Actor
from servers import services
from servers.deploying import retention
from servers.models import Deployment, Run
from servers.states import Mode, ServerStatus, Trigger
from tests.e2e.hosting import DockerPlatform, call
from tests.eventually import eventually

pytestmark = pytest.mark.real

BUILT = {"clone_started", "build_started", "push_started", "manifest_published"}


def numbers_running(platform: DockerPlatform) -> set[str]:
    return {c.labels["mcphost.number"] for c in platform.containers() if c.status == "running"}


def test_rolled_back_and_started_from_the_same_digest(docker_platform: DockerPlatform, door: str) -> None:
    server = docker_platform.healthy()
    first = docker_platform.deploy(server, within=120)
    changed = docker_platform.healthy_files()
    changed["server.py"] = bytes(changed["server.py"]).replace(b"Hello, ", b"Goodbye, ")  # type: ignore[arg-type]
    docker_platform.upload(server, changed)
    second = docker_platform.deploy(server, within=120)
    assert second.build.digest != first.build.digest
    assert call(door, server, "greet", name="Ada")[1] == "Goodbye, Ada!"

    back = docker_platform.ended(services.roll_back(server=server, to=first, by=Actor(docker_platform.owner)))
    docker_platform.serves(server, back)
    assert (back.trigger, back.build.digest, back.build.image) == (
        Trigger.ROLLBACK,
        first.build.digest,
        first.build.image,
    )
    assert not BUILT & set(docker_platform.events(back))
    eventually(lambda: numbers_running(docker_platform) == {"3"}, what="the others are drained")
    assert call(door, server, "greet", name="Ada")[1] == "Hello, Ada!"

    again = docker_platform.deploy(server, Mode.SAME_DIGEST)
    docker_platform.serves(server, again)
    assert again.build.digest == first.build.digest
    eventually(lambda: numbers_running(docker_platform) == {"4"}, what="the one before is drained")


def test_stopped_started_and_killed_behind_our_back(docker_platform: DockerPlatform, door: str) -> None:
    server = docker_platform.healthy()
    docker_platform.serves(server, docker_platform.deploy(server, within=120))

    services.stop(server=server, by=PLATFORM)
    docker_platform.becomes(server, ServerStatus.STOPPED)
    assert docker_platform.containers() == []

    started = services.start(server=server, by=Actor(docker_platform.owner), trigger=Trigger.API)
    docker_platform.serves(server, docker_platform.ended(started))
    assert call(door, server, "greet", name="Ada")[1] == "Hello, Ada!"

    [container] = docker_platform.containers()
    container.remove(force=True)
    docker_platform.becomes(server, ServerStatus.DEGRADED)
    docker_platform.becomes(server, ServerStatus.RUNNING, within=120)
    assert numbers_running(docker_platform) == {"2"}, "a restart is no deployment"
    newest = Deployment.objects.filter(server=server).latest("number")
    assert (newest.number, newest.runs.count()) == (2, 2)
    assert "server_restarted" in docker_platform.events(newest)
    [again] = docker_platform.containers()
    assert again.labels["mcphost.run"] == str(Run.objects.live().get(deployment=newest).pk)
    assert call(door, server, "greet", name="Ada")[1] == "Hello, Ada!"


def test_what_failed_ones_built_goes_when_newer_ones_were_tried(
    docker_platform: DockerPlatform,
) -> None:
    mute = docker_platform.busybox('CMD ["false"]')
    server = docker_platform.server("mute", mute, transport="streamable-http")
    docker_platform.deploy(server)
    docker_platform.upload(server, {**mute, "new.txt": "new"})
    docker_platform.deploy(server)
    assert {tag.rpartition(":")[2][0] for tag in docker_platform.tags()} == {"1", "2"}

    retention.trim()
    assert {tag.rpartition(":")[2][0] for tag in docker_platform.tags()} == {"2"}
