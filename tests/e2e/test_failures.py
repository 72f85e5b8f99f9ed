"""What goes wrong on Docker: the error says what to do, what served goes on, nothing stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from docker.errors import DockerException
from requests.exceptions import RequestException

from access.actor import PLATFORM
from deploy.bench.engine import Engine
from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.registry import Registry
from deploy.bench.workspace import free_port
from hosting.builder import emulation
from servers import services
from servers.deploying import reconciler, retention
from servers.models import Deployment, Server
from servers.states import ServerStatus
from tests.e2e.hosting import DockerPlatform, builds, call, engine, scratch_of, skopeo, tags_at
from tests.eventually import eventually
from tests.hosting.builder.small_disk import small_disk
from tests.hosting.sources.git_server import GitServer
from tests.platform import Platform, forget_adapters, hello_files, processes_under

pytestmark = pytest.mark.real

HTTP = "streamable-http"
BOTH = ["linux/amd64", "linux/arm64"]
EXITS = 'CMD ["sh", "-c", "echo opening the store >&2; echo no licence key >&2; exit 3"]'


def nothing_of(platform: DockerPlatform, failed: Deployment, serving: Deployment | None = None) -> None:
    """Whatever runs belongs to the deployment that serves. Images of the newest failure wait for a resume."""
    numbers = {f"{each.number}-" for each in (failed, serving) if each}
    eventually(lambda: not scratch_of(platform.data), what="the scratch space is gone")
    eventually(lambda: not builds(), what="nothing builds or fetches")
    assert {c.labels["mcphost.deployment"] for c in platform.containers()} == (
        {str(serving.pk)} if serving else set()
    )
    tags = [tag.rpartition(":")[2] for tag in platform.tags()]
    assert {f"{tag.partition('-')[0]}-" for tag in tags} <= numbers
    assert Deployment.objects.get(pk=failed.pk).live_run is None


def test_clone_of_nothing(docker_platform: DockerPlatform, forge: GitServer) -> None:
    server = docker_platform.git("nothing", forge.url("nothing/.git"))
    deployment = docker_platform.deploy(server)

    reason = docker_platform.failed(server, deployment, "source")
    assert reason.startswith(f"There is no repository at {forge.url('nothing/.git')}.")
    assert "Check the URL" in reason
    nothing_of(docker_platform, deployment)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "RUN echo compiling; echo no compiler; exit 4",
            ["echo compiling", "code 4", "no compiler"],
        ),
        ("RNU true", ["Dockerfile", "RNU"]),
        ("COPY missing.txt /", ["missing.txt", ".dockerignore"]),
    ],
)
def test_a_broken_dockerfile(docker_platform: DockerPlatform, line: str, expected: list[str]) -> None:
    server = docker_platform.server("broken", docker_platform.busybox(line))
    deployment = docker_platform.deploy(server)

    reason = docker_platform.failed(server, deployment, "build")
    assert all(each in reason for each in expected), reason
    nothing_of(docker_platform, deployment)


def test_a_base_image_that_is_not_there(docker_platform: DockerPlatform) -> None:
    absent = docker_platform.base["busybox"].replace("busybox", "absent")
    server = docker_platform.server("groundless", {"Dockerfile": f"FROM {absent}\n"})
    deployment = docker_platform.deploy(server)

    reason = docker_platform.failed(server, deployment, "build")
    assert f"The base image {absent} cannot be pulled" in reason
    assert "Check its name" in reason
    nothing_of(docker_platform, deployment)


def test_one_failing_platform_of_two_stops_the_other(
    docker_platform: DockerPlatform, registry_plain: Registry, settings: Any
) -> None:
    settings.REGISTRY_ARCH_TARGETS = BOTH
    script = "if [ $(uname -m) = aarch64 ]; then echo no such chip >&2; exit 3; fi; sleep 300"
    server = docker_platform.server("half", docker_platform.busybox(f"RUN {script}"))
    deployment = docker_platform.deploy(server)

    reason = docker_platform.failed(server, deployment, "build")
    assert "no such chip" in reason
    assert "linux/arm64" in reason
    builds_of = {step.platform: step for step in deployment.steps.filter(kind="build")}
    assert {platform: step.status for platform, step in builds_of.items()} == {
        "linux/amd64": "cancelled", "linux/arm64": "failed",
    }  # fmt: skip
    assert builds_of["linux/amd64"].error == "Stopped, since another platform failed."
    assert tags_at(registry_plain.host, "e2e/half") == []
    nothing_of(docker_platform, deployment)


def test_a_platform_that_cannot_be_emulated(docker_platform: DockerPlatform, settings: Any) -> None:
    absent = emulation.missing(["linux/s390x", "linux/ppc64le", "linux/riscv64"], settings.DOCKER_HOST)[0]
    settings.REGISTRY_ARCH_TARGETS = ["linux/amd64", absent]
    server = docker_platform.server("foreign", docker_platform.busybox("RUN true"))
    deployment = docker_platform.deploy(server)

    reason = docker_platform.failed(server, deployment, "build")
    assert f"cannot build for {absent}" in reason
    assert "qemu-user-static" in reason
    assert not deployment.steps.filter(kind="build").exists()
    nothing_of(docker_platform, deployment)


def test_the_registry_is_down(docker_platform: DockerPlatform, settings: Any) -> None:
    settings.REGISTRY = f"127.0.0.1:{free_port()}/e2e"
    server = docker_platform.server("unpushed", docker_platform.busybox(EXITS), transport=HTTP)
    deployment = docker_platform.deploy(server)

    reason = docker_platform.failed(server, deployment, "push")
    assert f"The push to {settings.REGISTRY}/unpushed (linux/amd64) failed: " in reason
    assert "connection refused" in reason
    assert "Check that the registry runs, that REGISTRY names it" in reason
    assert docker_platform.events(deployment)[-2] == "push_failed"
    nothing_of(docker_platform, deployment)


def test_the_registry_wants_a_login(
    docker_platform: DockerPlatform, registry_basic: Registry, settings: Any
) -> None:
    settings.REGISTRY = f"{registry_basic.host}/e2e"
    server = docker_platform.server("unknown", docker_platform.busybox(EXITS), transport=HTTP)
    deployment = docker_platform.deploy(server)

    reason = docker_platform.failed(server, deployment, "auth_expired")
    assert f"The push to {settings.REGISTRY}/unknown (linux/amd64) failed: " in reason
    assert "REGISTRY_AUTH_DOCKERCONFIG" in reason
    nothing_of(docker_platform, deployment)


def test_the_registry_goes_in_the_middle(
    docker_platform: DockerPlatform, fault_proxy: FaultProxy, settings: Any, door: str
) -> None:
    """The layers are there, the manifest is refused again and again: what served goes on."""
    settings.REGISTRY = f"{fault_proxy.host}/middle"
    server = docker_platform.healthy()
    first = docker_platform.deploy(server, within=120)
    docker_platform.serves(server, first)
    eventually(lambda: "latest" in tags_at(fault_proxy.host, "middle/hello"), what="the tag has moved")
    fault_proxy.set([{"method": "PUT", "path": "/manifests/", "action": "reset"}])
    docker_platform.upload(server, {**docker_platform.healthy_files(), "new.txt": "new"})
    second = docker_platform.deploy(server, within=120)

    reason = docker_platform.failed(server, second, "push")
    assert reason.startswith(f"The push to {fault_proxy.host}/middle/hello (linux/amd64) failed: ")
    assert "Check that the registry runs" in reason
    assert docker_platform.events(second).count("push_retry") == settings.REGISTRY_PUSH_RETRIES - 1
    assert tags_at(fault_proxy.host, "middle/hello") == [f"1-{first.build.short_revision}", "latest"]
    assert skopeo(f"{fault_proxy.host}/middle/hello:latest")["Digest"] == first.build.digest
    assert docker_platform.fresh(server).serving == first
    assert call(door, server, "greet", name="Ada")[1] == "Hello, Ada!"
    nothing_of(docker_platform, second, first)


def test_a_container_that_exits_at_once(docker_platform: DockerPlatform, door: str) -> None:
    server = docker_platform.healthy()
    first = docker_platform.deploy(server, within=120)
    docker_platform.upload(server, docker_platform.busybox("COPY . /app/", EXITS))
    Server.objects.filter(pk=server.pk).update(transport=HTTP)
    second = docker_platform.deploy(server)

    reason = docker_platform.failed(server, second, "runtime")
    assert "It exited with code 3. It wrote last: “opening the store ⏎ no licence key”." in reason
    assert docker_platform.fresh(server).serving == first
    assert call(door, server, "greet", name="Ada")[1] == "Hello, Ada!"
    nothing_of(docker_platform, second, first)


def test_a_server_that_writes_where_nothing_can_be_written(docker_platform: DockerPlatform) -> None:
    """An image without Python and Node, too: the bridge in front of it needs neither."""
    writes = 'CMD ["sh", "-c", "mkdir logs"]'
    server = docker_platform.server("writing", docker_platform.busybox("WORKDIR /app", writes))
    deployment = docker_platform.deploy(server)

    reason = docker_platform.failed(server, deployment, "runtime")
    assert "“mkdir: can't create directory 'logs': Read-only file system”" in reason
    assert "By rule of the platform the files of a container are read-only" in reason
    assert "/tmp (64 MB, empty at each start) can be written to" in reason
    assert "Correct its code" not in reason
    nothing_of(docker_platform, deployment)


@pytest.mark.parametrize(
    ("command", "seen"),
    [
        ('["sh", "-c", "echo listening; exec httpd -f -p 8000 -h /etc"]', "HTTP 501 at /mcp"),
        ('["sh", "-c", "echo waiting for nothing; exec sleep 600"]', "waiting for nothing"),
    ],
)
def test_a_server_that_never_answers_mcp(
    docker_platform: DockerPlatform, settings: Any, command: str, seen: str
) -> None:
    settings.HEALTH_TIMEOUT = 20  # within which it has to start, and to write its line
    server = docker_platform.server("mute", docker_platform.busybox(f"CMD {command}"), transport=HTTP)
    deployment = docker_platform.deploy(server)

    reason = docker_platform.failed(server, deployment, "runtime")
    assert "did not answer MCP in time" in reason
    assert seen in reason
    nothing_of(docker_platform, deployment)


@pytest.fixture
def full(docker_platform: DockerPlatform) -> Iterator[Path]:
    """The place of builds on a small disk."""
    with small_disk(docker_platform.data / "work") as disk:
        yield disk


def test_the_disk_of_builds_fills_up(docker_platform: DockerPlatform, full: Path) -> None:
    server = docker_platform.server("large", {**docker_platform.busybox(), "data.bin": b"\0" * 2_000_000})
    deployment = docker_platform.deploy(server)

    reason = docker_platform.failed(server, deployment, "source")
    assert "The disk filled up" in reason
    assert "Free some space" in reason
    nothing_of(docker_platform, deployment)


def test_the_disk_of_environments_fills_up(platform: Platform, settings: Any) -> None:
    with small_disk(settings.DATA_DIR / "runs"):
        server = platform.server("heavy", {**hello_files(), "data.bin": b"\0" * 2_000_000})
        deployment = platform.deploy(server)
        left = list((settings.DATA_DIR / "runs" / str(server.pk)).iterdir())

    assert (deployment.status, deployment.error_kind) == ("failed", "build")
    assert "The disk filled up" in deployment.error
    assert "Free some space" in deployment.error
    assert (platform.fresh(server).status, platform.fresh(server).error) == ("error", deployment.error)
    assert not left
    assert not processes_under(settings.DATA_DIR)


def test_the_place_of_builds_takes_nothing(docker_platform: DockerPlatform) -> None:
    (docker_platform.data / "work").write_text("no directory")
    server = docker_platform.server("homeless", docker_platform.busybox(EXITS))
    deployment = docker_platform.deploy(server)
    (docker_platform.data / "work").unlink()

    reason = docker_platform.failed(server, deployment, "build")
    assert reason.startswith("The build directory could not be written")
    assert "DATA_DIR" in reason


@pytest.fixture
def fragile(
    docker_platform: DockerPlatform, own_engine: Engine, settings: Any, docker_host: str
) -> Iterator[DockerPlatform]:
    """The platform on an engine that the test may stop; it runs again in the end."""
    docker_platform.engine_url = settings.DOCKER_HOST = own_engine.host
    forget_adapters()
    yield docker_platform
    docker_platform.delete_everything()
    docker_platform.all_gone()
    docker_platform.engine_url = settings.DOCKER_HOST = docker_host
    forget_adapters()


@contextmanager
def stopped(own: Engine) -> Iterator[None]:
    """The engine goes and takes its containers along; after the block it is there again."""
    own.daemon.stop()
    try:
        yield
    finally:
        own.workspace.start(own.daemon.argv, log=own.daemon.log, ready=lambda: _answers(own), seconds=60)


def _answers(own: Engine) -> bool:
    try:
        with engine(own.host) as client:
            return bool(client.ping())
    except (DockerException, RequestException):
        return False


def test_the_engine_goes_during_a_build(fragile: DockerPlatform, own_engine: Engine) -> None:
    server = fragile.server("cut", fragile.busybox('CMD ["false"]'), transport=HTTP)
    built = fragile.deploy(server)
    fragile.upload(server, fragile.busybox("RUN echo working && sleep 300"))
    deployment = fragile.request(server)
    eventually(lambda: "working" in fragile.log(deployment), what="it builds")
    with stopped(own_engine):
        deployment = fragile.ended(deployment)
        reason = fragile.failed(server, deployment, "build")
        assert reason.startswith("The Docker Engine does not answer.")
        assert "Start it" in reason
        again = fragile.deploy(server)
        assert "The Docker Engine does not answer." in fragile.failed(server, again, "build")
        retention.trim()
    assert {tag.rpartition(":")[2][0] for tag in fragile.tags()} == {str(built.number)}
    retention.trim()
    assert fragile.tags() == []
    nothing_of(fragile, again)


def test_the_engine_is_away_when_a_server_is_to_stop(fragile: DockerPlatform, own_engine: Engine) -> None:
    server = fragile.healthy()
    deployment = fragile.deploy(server, within=120)
    with stopped(own_engine):
        services.stop(server=server, by=PLATFORM)
        waiting = eventually(lambda: fragile.becomes(server, ServerStatus.STOPPING).error, what="it says why")
        assert waiting.startswith("The Docker Engine does not answer.")
        for _ in range(3):
            reconciler.settle(server.pk)
    done = fragile.becomes(server, ServerStatus.STOPPED)
    assert (done.error, done.serving) == ("", None)
    eventually(lambda: "stop_succeeded" in fragile.events(deployment), what="its end is told of")
    told = [event for event in fragile.events(deployment) if event.startswith("stop_")]
    assert told == ["stop_started", "stop_failed", "stop_succeeded"]


def test_the_engine_goes_under_a_running_server(
    fragile: DockerPlatform, own_engine: Engine, door: str
) -> None:
    server = fragile.healthy()
    first = fragile.deploy(server, within=120)
    fragile.serves(server, first)
    with stopped(own_engine):
        degraded = fragile.becomes(server, ServerStatus.DEGRADED)
        assert degraded.error.startswith("The Docker Engine does not answer.")
    recovered = fragile.becomes(server, ServerStatus.RUNNING, within=120)
    assert recovered.error == ""
    eventually(lambda: fragile.fresh(server).serving, what="it serves")
    assert call(door, server, "greet", name="Ada")[1] == "Hello, Ada!"
