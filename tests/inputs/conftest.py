from __future__ import annotations

from pathlib import Path

import pytest

from deploy.bench.cache import cache_directory
from hosting.build_settings import BuildSettings
from hosting.builder.buildkit import Builder, find_builder


@pytest.fixture(scope="session")
def installs() -> Path:
    """What installations download, kept from one run of the tests to the next."""
    return cache_directory() / "installs"


@pytest.fixture(scope="session")
def builder(docker_host: str) -> Builder:
    return find_builder(docker_host)


@pytest.fixture(scope="session")
def settings(docker_host: str, base_images: dict[str, str]) -> BuildSettings:
    return BuildSettings(
        docker_host=docker_host, python_image=base_images["python"], node_image=base_images["node"]
    )
