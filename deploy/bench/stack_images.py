"""The images of compose.yaml, for this machine's architecture: to build on, and to start as they are.

They answer to what the official images are told: the same variables, secrets, directories and ports.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from . import base_images, debian
from .image_store import ImageStore, Recipe
from .requirement import program
from .workspace import Workspace

_POSTGRES_BIN = "usr/lib/postgresql/15/bin"
_POSTGRES_START = """\
#!/bin/sh -e
# As the official image: a database of that name and user, made in an empty directory.
data=/var/lib/postgresql/data
as_nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
mkdir -p "$data" && chown nobody "$data" && chmod 700 "$data"
if [ ! -s "$data/PG_VERSION" ]; then
  install -m 400 -o nobody "$POSTGRES_PASSWORD_FILE" /tmp/password
  $as_nobody initdb -D "$data" -U "$POSTGRES_USER" -A scram-sha-256 --pwfile /tmp/password \\
    -E UTF8 --locale C.UTF-8
  rm /tmp/password
  echo "CREATE DATABASE $POSTGRES_DB" | $as_nobody postgres --single -D "$data" postgres
  echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
fi
exec $as_nobody postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
"""
_REGISTRY_CONFIG = """\
version: 0.1
storage:
  filesystem: {rootdirectory: /var/lib/registry}
http: {addr: ":5000"}
"""


def serve(workspace: Workspace) -> dict[str, str]:
    """References by name: python, docker-cli, postgres, redis, registry, caddy."""
    return _store().serve(workspace)


def prepare() -> Path:
    return _store().prepare()


def _python(architecture: str, work: Path) -> Path:
    packages = ["python3", "python3-pip", "python3-venv", "git", "openssh-client"]
    root = debian.root_file_system(packages, architecture, work)
    (root / "usr/bin/python").symlink_to("python3")
    return root


def _docker_cli(_: str, work: Path) -> Path:
    """The one that the bench builds with: it needs no plugin, so the directory of plugins is empty."""
    for directory in ("bin", "libexec/docker/cli-plugins"):
        (work / "root/usr/local" / directory).mkdir(parents=True)
    shutil.copy2(program("docker"), work / "root/usr/local/bin/docker")
    return work / "root"


def _postgres(architecture: str, work: Path) -> Path:
    root = debian.root_file_system(["postgresql-15", "util-linux"], architecture, work)
    for path in (root / _POSTGRES_BIN).iterdir():
        (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
        (root / "usr/local/bin" / path.name).symlink_to(f"/{_POSTGRES_BIN}/{path.name}")
    _write_program(root / "usr/local/bin/start", _POSTGRES_START)
    return root


def _redis(architecture: str, work: Path) -> Path:
    return debian.root_file_system(["redis-server", "redis-tools"], architecture, work)


def _registry(architecture: str, work: Path) -> Path:
    root = debian.root_file_system(["docker-registry", "busybox-static"], architecture, work)
    (root / "etc/docker/registry/config.yml").write_text(_REGISTRY_CONFIG)
    (root / "usr/bin/wget").symlink_to("../../bin/busybox")
    return root


def _caddy(architecture: str, work: Path) -> Path:
    root = debian.root_file_system(["caddy", "busybox-static"], architecture, work)
    (root / "usr/bin/wget").symlink_to("../../bin/busybox")
    return root


def _write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _store() -> ImageStore:
    caddy = ("caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile")
    return ImageStore(
        "stack-images",
        version=3,
        recipes={
            "python": Recipe(_python),
            "docker-cli": Recipe(_docker_cli),
            "postgres": Recipe(_postgres, command=("start",)),
            "redis": Recipe(_redis, command=("redis-server",)),
            "registry": Recipe(
                _registry, command=("docker-registry", "serve", "/etc/docker/registry/config.yml")
            ),
            "caddy": Recipe(_caddy, env=("XDG_DATA_HOME=/data", "XDG_CONFIG_HOME=/config"), command=caddy),
        },
        architectures=(base_images.own_architecture(),),
    )
