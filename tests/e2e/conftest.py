from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.bench import debian
from deploy.bench.registry import Registry
from tests.e2e import hosting
from tests.e2e.hosting import DockerPlatform
from tests.hosting.sources import git_server
from tests.hosting.sources.git_server import GitServer, Repository
from tests.platform import Platform, forget_adapters, platform, quick

__all__ = ["platform", "quick"]


@pytest.fixture
def images(
    settings: Any, quick: None, docker_host: str, registry_plain: Registry, base_images: dict[str, str]
) -> None:
    """Settings of a platform that builds images for this machine, pushes and runs them."""
    settings.CONTAINER_RUNTIME, settings.DOCKER_HOST, settings.DOCKER_NETWORK = "docker", docker_host, ""
    settings.REGISTRY, settings.REGISTRY_ARCH_TARGETS = f"{registry_plain.host}/e2e", ["linux/amd64"]
    settings.BASE_IMAGE_PYTHON, settings.BASE_IMAGE_NODE = base_images["python"], base_images["node"]
    settings.BUILD_CA_BUNDLE = debian.ca_bundle()
    settings.HEALTH_TIMEOUT, settings.REGISTRY_PUSH_RETRIES = 60, 2
    forget_adapters()


@pytest.fixture
def docker_platform(
    images: None, platform: Platform, settings: Any, docker_host: str, base_images: dict[str, str]
) -> Iterator[DockerPlatform]:
    """A platform on Docker. In the end every server is deleted, and nothing may be left of them."""
    hosted = DockerPlatform(platform.owner)
    hosted.engine_url, hosted.base, hosted.data = docker_host, base_images, settings.DATA_DIR
    yield hosted
    hosted.delete_everything()
    hosted.all_gone()


@pytest.fixture
def door(platform: Platform) -> Iterator[str]:
    """The URL under which the platform answers."""
    with hosting.front_door() as url:
        yield url


@pytest.fixture
def forge(settings: Any, tmp_path: Path) -> Iterator[GitServer]:
    """A git host on the loopback."""
    settings.GIT_PROTOCOLS = ["http"]
    (tmp_path / "forge").mkdir()
    with git_server.serving(tmp_path / "forge") as server:
        yield server


@pytest.fixture
def repository(forge: GitServer) -> Callable[[str, dict[str, str | bytes]], tuple[str, str]]:
    """`repository(name, files)`: its URL and the id of its only commit."""

    def made(name: str, files: dict[str, str | bytes]) -> tuple[str, str]:
        kept = Repository(forge.root / name)
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (kept.path / path).write_bytes(data)
        return forge.url(f"{name}/.git"), kept.commit("first")

    return made


Repositories = Callable[[str, dict[str, str | bytes]], tuple[str, str]]
