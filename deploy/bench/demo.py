"""What `make demo` needs of a machine: an engine that builds, a registry, base images and emulation."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import docker
from cryptography.fernet import Fernet
from docker.errors import DockerException
from requests.exceptions import RequestException

from hosting.builder.buildkit import capability

from . import base_images, debian, registry, requirement
from .engine import start_engine
from .workspace import Workspace

_DEFAULT_HOST = "unix:///var/run/docker.sock"
_NEEDED = {"docker-registry", "skopeo", "setpriv", "qemu-aarch64-static", "update-binfmts", "npm", "dpkg-deb"}
_NEEDED_FOR_ENGINE = {"docker", "dockerd", "iptables", "ip"}


def prepare() -> int:
    """Install or name what is missing; returns an exit status."""
    private = _engine_of_machine() is None
    names = _NEEDED | (_NEEDED_FOR_ENGINE if private else set())
    needed = [entry for entry in requirement.REQUIREMENTS if entry.program in names]
    return requirement.prepare("make demo", needed, root=private)


def provide(workspace: Workspace) -> dict[str, str]:
    """Start what is lacking; returns the settings of the platform that point to it."""
    images = base_images.serve(workspace)
    store = registry.start_plain(workspace)
    return {
        "DOCKER_HOST": _engine_of_machine() or _private_engine(workspace),
        "REGISTRY": f"{store.host}/demo",
        "CONTAINER_RUNTIME": "docker",
        "DATA_DIR": str(workspace.path / "platform"),
        "DATABASE_URL": "",
        "BROKER_URL": "",
        "ENV_FILE": os.devnull,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "SECRET_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "LOG_LEVEL": "error",
        "REGISTRY_ARCH_TARGETS": "linux/amd64,linux/arm64",
        "BASE_IMAGE_PYTHON": images["python"],
        "BASE_IMAGE_NODE": images["node"],
        "BUILD_CA_BUNDLE": str(debian.ca_bundle()),
    }


def _engine_of_machine() -> str | None:
    """The machine's own engine, if it answers, builds, and shares our loopback (where the registries are)."""
    host = os.environ.get("DOCKER_HOST", _DEFAULT_HOST)
    if not host.startswith("unix://") or not Path(host.removeprefix("unix://")).exists():
        return None
    try:
        docker.DockerClient(base_url=host, timeout=10).ping()
    except (DockerException, RequestException):
        return None
    return host if capability(host).found else None


def _private_engine(workspace: Workspace) -> str:
    print("no Docker Engine that can build was found: starting a private one", file=sys.stderr, flush=True)
    return start_engine(workspace).host
