"""Whether this machine can build and run images of foreign platforms (binfmt_misc and QEMU)."""

from __future__ import annotations

import platform as machine
from collections.abc import Sequence
from pathlib import Path

import docker
import requests
from docker.errors import DockerException

from servers.errors import BuildError
from servers.runtimes.base import Capability

BINFMT = Path("/proc/sys/fs/binfmt_misc")
ADVICE = (
    "Install qemu-user-static and binfmt-support (Debian, Ubuntu), "
    "or run docker run --privileged --rm tonistiigi/binfmt --install all."
)
# OCI architecture -> QEMU's name of it; and what a processor runs besides its own.
QEMU = {
    "amd64": "x86_64",
    "386": "i386",
    "arm64": "aarch64",
    "arm": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "mips64le": "mips64el",
    "loong64": "loongarch64",
}
OCI = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
ALSO_RUNS = {"amd64": {"386"}}


def missing(platforms: Sequence[str], docker_host: str = "", *, binfmt: Path = BINFMT) -> list[str]:
    """The platforms of `platforms` that the engine's machine can't run. An engine elsewhere is believed."""
    if not _is_local(docker_host) or not binfmt.is_dir():
        return []
    native = engine_architecture(docker_host)
    return [platform for platform in platforms if not _runs(_architecture(platform), native, binfmt)]


def require(platforms: Sequence[str], docker_host: str = "", *, binfmt: Path = BINFMT) -> None:
    """Raises `BuildError`, before a build, where emulation is missing for one of `platforms`."""
    if absent := missing(platforms, docker_host, binfmt=binfmt):
        raise BuildError(
            f"This machine cannot build for {', '.join(absent)}: emulation is not set up.",
            hint=ADVICE,
            details={"platforms": absent},
        )


def capabilities(
    platforms: Sequence[str], docker_host: str = "", *, binfmt: Path = BINFMT
) -> list[Capability]:
    """One line per platform."""
    absent = missing(platforms, docker_host, binfmt=binfmt)
    native = engine_architecture(docker_host)
    return [_capability(platform, platform in absent, native) for platform in platforms]


def engine_architecture(docker_host: str = "") -> str:
    """The engine's architecture in OCI terms, this machine's where no engine answers."""
    try:
        client = docker.APIClient(base_url=docker_host or None, timeout=5)
        try:
            return str(client.version()["Arch"])
        finally:
            client.close()
    except (DockerException, requests.RequestException, OSError):
        return OCI.get(machine.machine(), machine.machine())


def _capability(platform: str, absent: bool, native: str) -> Capability:
    if absent:
        return Capability(f"platform {platform}", False, "no emulation registered", ADVICE)
    detail = "native" if _architecture(platform) == native else "emulated (binfmt)"
    return Capability(f"platform {platform}", True, detail)


def _is_local(docker_host: str) -> bool:
    return not docker_host or docker_host.startswith(("unix://", "/"))


def _architecture(platform: str) -> str:
    return platform.split("/")[1] if "/" in platform else platform


def _runs(architecture: str, native: str, binfmt: Path) -> bool:
    if architecture == native or architecture in ALSO_RUNS.get(native, ()):
        return True
    return _emulates(binfmt / f"qemu-{QEMU.get(architecture, architecture)}")


def _emulates(entry: Path) -> bool:
    """An entry helps inside images only with the flag F, which holds the interpreter open."""
    if not entry.is_file():
        return False
    lines = entry.read_text().splitlines()
    flags = next((line for line in lines if line.startswith("flags:")), "")
    return lines[:1] == ["enabled"] and "F" in flags.removeprefix("flags:")
