"""What the operator has configured for builds and for reading sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class BuildSettings:
    """Where builds get packages and images from. Many machines cannot reach the public registries, or sit
    behind a proxy that has a CA of its own.

    Index and proxy URLs may hold credentials. A build gets them as BuildKit secrets or through its
    environment, never on a command line. `timeout` is in seconds, for one build or one installation. `cache`
    is a directory in which the installations of the process runtime share their downloads. `cache_key` is the
    prefix of the names of the engine's download caches. Builds with the same key share these caches, and each
    of them can write to them. `python_downloads`: whether uv may download an interpreter
    (python-build-standalone) when a project asks for a version that is not installed.
    """

    docker_host: str = ""
    python_image: str = "python:3.12-slim"
    node_image: str = "node:22-slim"
    pip_index_url: str = field(default="", repr=False)
    npm_registry: str = field(default="", repr=False)
    ca_bundle: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)  # HTTP_PROXY, HTTPS_PROXY, NO_PROXY
    python_downloads: bool = True
    timeout: float = 1800.0
    cache: Path | None = None
    cache_key: str = field(default="", repr=False)
