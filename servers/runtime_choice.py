"""Which runtime a server is on: its own choice, or the platform's. Asks the engine at most once a process."""

from __future__ import annotations

import functools

from django.conf import settings

from hosting.builder.buildkit import Builder, find_builder
from hosting.runtimes.docker import DockerRuntime
from servers.models import Build, Server

DEFAULT_ENGINE = "unix:///var/run/docker.sock"


def engine_url() -> str:
    return settings.DOCKER_HOST or DEFAULT_ENGINE


def runtimes_in_use() -> list[str]:
    """Where something of ours may run."""
    chosen = Server.objects.exclude(runtime="").order_by().values_list("runtime", flat=True).distinct()
    return sorted({"process", default_runtime(), *chosen})


@functools.cache
def default_runtime() -> str:
    """CONTAINER_RUNTIME; `auto` is docker where an engine answers and a CLI can build, else process.

    What was in containers stays there: an engine that is away makes no process of it.
    """
    if settings.CONTAINER_RUNTIME != "auto":
        return str(settings.CONTAINER_RUNTIME)
    usable = DockerRuntime(engine_url(), instance=settings.INSTANCE).capability().found
    if usable and builder().capability().found:
        return "docker"
    return "docker" if Build.objects.filter(runtime="docker").exists() else "process"


def runtime_name_for(server: Server) -> str:
    return server.runtime or default_runtime()


@functools.cache
def builder() -> Builder:
    return find_builder(engine_url())
