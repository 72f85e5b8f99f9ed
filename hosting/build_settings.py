"""What the operator set for builds and for looks at sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class BuildSettings:
    """Where builds get what they need. Many machines reach no hub, or sit behind a proxy with its own CA.

    Index and proxy URLs may hold credentials: they reach builds as secrets or through the environment only.
    `cache` is a directory where installs of the process runtime share what they download. `cache_key` names
    the engine's caches of downloads for those who may share them: who knows it can put things there.
    `python_downloads`: whether an interpreter that a project asks for and that is not there is downloaded
    (python-build-standalone, by uv).
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
