"""What the bench needs of the machine, and the Debian package that brings it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class BenchError(RuntimeError):
    """A part of the bench is missing or did not start; the message says what to do."""


@dataclass(frozen=True)
class Requirement:
    """A program, and how to get it. `paths` are globs tried before PATH (newest match wins)."""

    program: str
    package: str
    paths: tuple[str, ...] = ()

    def locate(self) -> str | None:
        for pattern in self.paths:
            if found := sorted(Path("/").glob(pattern.lstrip("/"))):
                return str(found[-1])
        return shutil.which(self.program, path=SEARCHED)


REQUIREMENTS = (
    Requirement("dockerd", "docker.io", ("/usr/sbin/dockerd", "/usr/bin/dockerd")),
    # A CLI that can build: Debian's carries BuildKit, a bare newer client on PATH may not.
    Requirement("docker", "docker.io", ("/usr/bin/docker",)),
    # The older of the two: what it accepts, the plugin `docker compose` accepts too.
    Requirement("docker-compose", "docker-compose"),
    Requirement("docker-registry", "docker-registry"),
    Requirement("skopeo", "skopeo"),
    Requirement("htpasswd", "apache2-utils"),
    Requirement("iptables", "iptables"),
    Requirement("ip", "iproute2"),
    Requirement("setpriv", "util-linux"),
    Requirement("qemu-aarch64-static", "qemu-user-static"),
    Requirement("update-binfmts", "binfmt-support"),
    Requirement("redis-server", "redis-server"),
    Requirement("postgres", "postgresql", ("/usr/lib/postgresql/*/bin/postgres",)),
    Requirement("initdb", "postgresql", ("/usr/lib/postgresql/*/bin/initdb",)),
    Requirement("chromium", "chromium"),
    Requirement("git", "git"),
    Requirement("curl", "curl"),
    Requirement("openssl", "openssl"),
    Requirement("npm", "npm"),
    Requirement("dpkg-deb", "dpkg"),
)
_BY_PROGRAM = {requirement.program: requirement for requirement in REQUIREMENTS}


def program(name: str) -> str:
    """The path of a program; raises BenchError that names its package when it is absent."""
    requirement = _BY_PROGRAM[name]
    if path := requirement.locate():
        return path
    raise BenchError(f"{name} was not found: install it with `apt-get install {requirement.package}`")


def prepare(purpose: str, needed: Iterable[Requirement], *, root: bool = True) -> int:
    """Install what is missing (root on a Debian family machine) or say what is; returns an exit status."""
    wanted = list(needed)
    absent = _absent(wanted)
    if absent and _may_install():
        _install(sorted({requirement.package for requirement in absent}))
        absent = _absent(wanted)
    complaints = [*_of_programs(purpose, absent), *(_of_root(purpose) if root else ())]
    for line in complaints:
        print(line, file=sys.stderr)
    return 1 if complaints else 0


def _absent(needed: list[Requirement]) -> list[Requirement]:
    return [requirement for requirement in needed if requirement.locate() is None]


def _of_programs(purpose: str, absent: list[Requirement]) -> Iterator[str]:
    if absent:
        yield f"{purpose} needs programs that this machine lacks:"
        yield from (f"  {r.program:<20} package {r.package}" for r in absent)
        yield "install them with: apt-get install " + " ".join(sorted({r.package for r in absent}))


def _of_root(purpose: str) -> Iterator[str]:
    if os.geteuid() != 0:
        yield f"{purpose} starts a private Docker Engine, which takes root."


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install(packages: list[str]) -> None:
    print("installing:", " ".join(packages), flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _NoServicesStarted():
        command = ["apt-get", "-qq", "-y", "--no-install-recommends", "install", *packages]
        if subprocess.run(command, env=environment).returncode:
            subprocess.run(["apt-get", "-qq", "update"], env=environment)
            subprocess.run(command, env=environment)


class _NoServicesStarted:
    """Keeps the services of packages off while they are installed: the bench starts private ones."""

    _policy = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self._ours = not self._policy.exists()
        if self._ours:
            self._policy.write_text("#!/bin/sh\nexit 101\n")
            self._policy.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            self._policy.unlink()
