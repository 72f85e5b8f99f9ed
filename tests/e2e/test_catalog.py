"""Documents of a catalog, hosted for real: their answers reach the server, which a client calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from access.actor import Actor
from catalog import services
from catalog.services import Found
from deploy.bench.registry import Registry
from servers.models import Deployment, Server
from servers.states import Trigger
from tests.catalog import documents
from tests.e2e.hosting import DockerPlatform, call, engine
from tests.platform import Platform, hello_files

pytestmark = pytest.mark.real
TIME = documents.package(
    "pypi",
    "mcp-server-time",
    packageArguments=[{"type": "named", "name": "--local-timezone", "default": "UTC"}],
)
EVERYTHING = documents.package(
    identifier="@modelcontextprotocol/server-everything",
    packageArguments=[{"type": "positional", "value": "stdio"}],
    environmentVariables=[{"name": "SAID", "isRequired": True, "isSecret": True}],
)
for newest in (TIME, EVERYTHING):
    del newest["version"]
SAYS_ITS_ARGUMENTS = 'return f"Hello, {name}! " + " ".join(__import__("sys").argv[1:])'


def imported(platform: Platform, package: dict[str, Any], **answers: str) -> tuple[Server, Deployment]:
    found = Found(documents.document(package))
    server, deployment = services.import_server(
        found=found,
        option=services.chosen(found.document),
        answers=answers,
        by=Actor(platform.owner),
        trigger=Trigger.API,
    )
    assert deployment
    return server, platform.ended(deployment, within=200)


def test_a_package_from_pypi_with_an_argument(platform: Platform, door: str, settings: Any) -> None:
    settings.HEALTH_TIMEOUT = 60
    server, deployment = imported(platform, TIME, **{"local-timezone": "Asia/Tokyo"})
    assert (deployment.status, deployment.error) == ("succeeded", "")
    assert "--local-timezone=Asia/Tokyo" in deployment.build.command
    assert "Asia/Tokyo" in str(deployment.discovery["tools"])
    assert "UTC" in call(door, server, "get_current_time", timezone="UTC")[1]


def test_a_package_from_npm_with_a_secret(platform: Platform, door: str, settings: Any) -> None:
    settings.HEALTH_TIMEOUT = 60
    server, deployment = imported(platform, EVERYTHING, SAID="s3cr3t-value")
    assert (deployment.status, deployment.error) == ("succeeded", "")
    assert deployment.build.command[-1] == "stdio"
    assert "s3cr3t" not in platform.log(deployment) + str(deployment.build.command)
    tools, text = call(door, server, "echo", message="over there")
    assert "over there" in text
    if "get-env" in tools:
        assert "SAID" in call(door, server, "get-env")[1]


def test_an_image_with_its_entrypoint_and_arguments(
    docker_platform: DockerPlatform, door: str, registry_plain: Registry, tmp_path: Path
) -> None:
    source = hello_files()["server.py"]
    assert isinstance(source, bytes)
    files = {
        **hello_files(),
        "server.py": source.decode().replace('return f"Hello, {name}!"', SAYS_ITS_ARGUMENTS),
        "Dockerfile": "\n".join(
            (
                f"FROM {docker_platform.base['python']}", "WORKDIR /app", "COPY . ./", "USER 10001",
                'ENTRYPOINT ["python3", "server.py"]', 'CMD ["--left-out"]', "",
            )
        ),
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    tag = f"{registry_plain.host}/catalog/says:1"
    with engine(docker_platform.engine_url) as client:
        client.images.build(path=str(tmp_path), tag=tag)
        client.images.push(tag)
        client.images.remove(tag, force=True)
    package = documents.package(
        "oci",
        tag,
        runtimeArguments=[{"type": "named", "name": "--rm"}],
        packageArguments=[{"type": "named", "name": "--units", "default": "metric"}],
    )
    server, deployment = imported(docker_platform, package, units="imperial")
    docker_platform.serves(server, deployment)
    assert call(door, server, "greet", name="Ada")[1] == "Hello, Ada! --units=imperial"
