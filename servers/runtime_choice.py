"""Chooses the runtime of a server (its own setting, or the platform's default), and the builder for it.

Asks the engine at most once in each process.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

from django.conf import settings

from hosting.build_settings import BuildSettings
from hosting.builder import emulation
from hosting.builder.buildkit import Builder, find_builder
from hosting.runtimes.docker import DockerRuntime
from servers.models import Build, Server

DEFAULT_ENGINE = "unix:///var/run/docker.sock"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def engine_url() -> str:
    return settings.DOCKER_HOST or DEFAULT_ENGINE


def runtimes_in_use() -> list[str]:
    """Returns the names of the runtimes in which servers of this platform may run."""
    chosen = Server.objects.exclude(runtime="").order_by().values_list("runtime", flat=True).distinct()
    return sorted({"process", default_runtime(), *chosen})


@functools.cache
def default_runtime() -> str:
    """Returns CONTAINER_RUNTIME. `auto` means docker if an engine answers and a CLI can build, else process.

    If builds for docker exist already, `auto` stays docker even while the engine does not answer.
    """
    if settings.CONTAINER_RUNTIME != "auto":
        return str(settings.CONTAINER_RUNTIME)
    usable = DockerRuntime(engine_url(), instance=settings.INSTANCE).capability().found
    if usable and builder().capability().found:
        return "docker"
    return "docker" if Build.objects.filter(runtime="docker").exists() else "process"


def runtime_name_for(server: Server) -> str:
    """Returns the name of the server's runtime: its own choice, or the default."""
    return server.runtime or default_runtime()


@functools.cache
def builder() -> Builder:
    """Returns the builder of images for the engine."""
    return find_builder(engine_url())


def native_platform() -> str:
    """Returns the platform of the engine's machine, such as `linux/amd64`."""
    return f"linux/{emulation.engine_architecture(engine_url())}"


@functools.cache
def build_settings() -> BuildSettings:
    """Returns the settings of builds that are the same for all servers."""
    return BuildSettings(
        docker_host=engine_url(),
        python_image=settings.BASE_IMAGE_PYTHON,
        node_image=settings.BASE_IMAGE_NODE,
        pip_index_url=settings.BUILD_PIP_INDEX_URL,
        npm_registry=settings.BUILD_NPM_REGISTRY,
        ca_bundle=settings.BUILD_CA_BUNDLE,
        proxies={name: value for name in PROXIES if (value := os.environ.get(name, ""))},
        python_downloads=settings.PYTHON_DOWNLOADS,
        timeout=settings.BUILD_TIMEOUT,
        cache=Path(settings.DATA_DIR) / "cache",
    )
