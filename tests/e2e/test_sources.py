"""Every kind of source, deployed for real, and called by a client through the gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from servers.models import Deployment, Server
from servers.states import ServerStatus
from tests.e2e.conftest import Repositories
from tests.e2e.hosting import DockerPlatform, call
from tests.platform import Platform, hello_files

pytestmark = pytest.mark.real

PACKAGES = {
    "pypi": ("mcp-server-time", "get_current_time", {"timezone": "UTC"}, "UTC"),
    "npm": ("@modelcontextprotocol/server-everything", "echo", {"message": "over there"}, "over there"),
}
ECOSYSTEMS = pytest.mark.parametrize("ecosystem", list(PACKAGES))


def package(platform: Platform, ecosystem: str) -> Server:
    hosted = DockerPlatform(platform.owner)
    return hosted.package(ecosystem, PACKAGES[ecosystem][0])


def answers(door: str, server: Server, deployment: Deployment, ecosystem: str) -> None:
    _, tool, arguments, expected = PACKAGES[ecosystem]
    tools, text = call(door, server, tool, **arguments)
    assert expected in text
    assert tool in tools
    assert {each["name"] for each in deployment.discovery["tools"]} == tools


@ECOSYSTEMS
def test_a_package_as_a_process(platform: Platform, door: str, settings: Any, ecosystem: str) -> None:
    settings.HEALTH_TIMEOUT = 60
    server = package(platform, ecosystem)
    deployment = platform.deploy(server, within=200)

    assert (deployment.status, deployment.error) == ("succeeded", "")
    assert platform.fresh(server).status == ServerStatus.RUNNING
    assert deployment.build.revision.startswith(f"{PACKAGES[ecosystem][0]}==")
    answers(door, server, deployment, ecosystem)


@ECOSYSTEMS
def test_a_package_on_docker(
    docker_platform: DockerPlatform, door: str, settings: Any, ecosystem: str
) -> None:
    server = package(docker_platform, ecosystem)
    deployment = docker_platform.deploy(server, within=250)

    docker_platform.serves(server, deployment)
    assert deployment.build.image == f"{settings.REGISTRY}/{server.slug}@{deployment.build.digest}"
    answers(door, server, deployment, ecosystem)


def test_a_repository_with_a_dockerfile(
    docker_platform: DockerPlatform, repository: Repositories, door: str
) -> None:
    url, commit = repository("with", docker_platform.healthy_files())
    server = docker_platform.git("with-dockerfile", url)
    deployment = docker_platform.deploy(server, within=120)

    docker_platform.serves(server, deployment)
    assert (deployment.build.revision, deployment.build.summary) == (commit, "first")
    assert call(door, server, "greet", name="Ada")[1] == "Hello, Ada!"


def test_a_dockerfile_in_a_folder(docker_platform: DockerPlatform, door: str) -> None:
    """Its context is the top, as `docker build -f docker/Dockerfile --target run .` has it."""
    files = docker_platform.healthy_files()
    run = str(files.pop("Dockerfile")).replace("\nWORKDIR", " AS run\nARG WHERE\nWORKDIR /$WHERE\nWORKDIR")
    other = f"\nFROM {docker_platform.base['busybox']}\nCOPY nothing /\n"
    build = {"dockerfile": "docker/Dockerfile", "target": "run", "arguments": {"WHERE": "here"}}
    server = docker_platform.server("folder", {**files, "docker/Dockerfile": run + other}, build=build)
    deployment = docker_platform.deploy(server, within=120)

    docker_platform.serves(server, deployment)
    assert call(door, server, "greet", name="Ada")[1] == "Hello, Ada!"
    assert deployment.build.plan["chosen"] == {**build, "arguments": ["WHERE"]}


def test_a_repository_without_one(
    docker_platform: DockerPlatform, repository: Repositories, door: str
) -> None:
    url, commit = repository("without", hello_files())
    server = docker_platform.git("without-dockerfile", url)
    deployment = docker_platform.deploy(server, within=120)

    docker_platform.serves(server, deployment)
    assert deployment.build.revision == commit
    assert json.loads(call(door, server, "add", a=1, b=2)[1]) == {"sum": 3}


def test_a_repository_as_a_process(platform: Platform, repository: Repositories, door: str) -> None:
    url, commit = repository("process", hello_files())
    server = DockerPlatform(platform.owner).git("process", url)
    deployment = platform.deploy(server)

    assert (deployment.status, deployment.error, deployment.build.revision) == ("succeeded", "", commit)
    assert call(door, server, "greet", name="Ada")[1] == "Hello, Ada!"


def test_an_uploaded_archive(docker_platform: DockerPlatform, door: str) -> None:
    server = docker_platform.hello("archive")
    deployment = docker_platform.deploy(server, within=120)

    docker_platform.serves(server, deployment)
    tools, text = call(door, server, "greet", name="Ada")
    assert text == "Hello, Ada!"
    assert tools == {tool["name"] for tool in deployment.discovery["tools"]}


def test_an_image_that_is_there_already(docker_platform: DockerPlatform, door: str) -> None:
    """What one server published serves another: once over stdio behind the bridge, here over HTTP."""
    first = docker_platform.deploy(docker_platform.healthy("first"), within=120)
    tagged = f"{first.build.image.partition('@')[0]}:{first.number}-{first.build.short_revision}"
    server = docker_platform.made(
        "second", source_kind="image", source={"reference": tagged}, transport="streamable-http"
    )
    deployment = docker_platform.deploy(server, within=120)

    docker_platform.serves(server, deployment)
    assert deployment.build.digest == first.build.digest
    assert call(door, server, "greet", name="Ada")[1] == "Hello, Ada!"
