"""Whether this machine can build and run images of foreign platforms (binfmt_misc and QEMU)."""

from __future__ import annotations

import os
import platform as machine
from collections.abc import Sequence
from pathlib import Path

import docker
import requests
from docker.errors import DockerException

from hosting.errors import BuildError
from hosting.runtimes.base import Capability
from registry.reasons import Reason

BINFMT = Path("/proc/sys/fs/binfmt_misc")
# The namespaces that a kernel starts with (PROC_PID_INIT_INO, PROC_CGROUP_INIT_INO). A container has its own;
# the second also where it shares the machine's processes.
FIRST_NAMESPACES = {"pid:[4026531836]", "cgroup:[4026531835]"}
ADVICE = (
    "Install qemu-user-static and binfmt-support (Debian, Ubuntu), "
    "or run docker run --privileged --rm tonistiigi/binfmt --install all."
)
UNKNOWN = "not known from here"
ELSEWHERE = f"A build tells; what it needs belongs where the engine runs. {ADVICE}"
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


def is_bare() -> bool:
    """Whether this process sees what is mounted on the machine: a container has a /proc of its own."""
    kinds = ("pid", "cgroup")
    # What is not there resolves to itself: an old kernel, or none that is Linux.
    return {os.path.basename(os.path.realpath(f"/proc/self/ns/{kind}")) for kind in kinds} == FIRST_NAMESPACES


BARE = is_bare()


def missing(
    platforms: Sequence[str], docker_host: str = "", *, binfmt: Path = BINFMT, bare: bool = BARE
) -> list[str]:
    """The platforms of `platforms` that the engine's machine can't run; none where that can't be seen."""
    if not _is_seen(docker_host, binfmt, bare):
        return []
    native = engine_architecture(docker_host)
    return [platform for platform in platforms if not _runs(_architecture(platform), native, binfmt)]


def require(
    platforms: Sequence[str], docker_host: str = "", *, binfmt: Path = BINFMT, bare: bool = BARE
) -> None:
    """Raises `BuildError`, before a build, where emulation is missing for one of `platforms`."""
    if absent := missing(platforms, docker_host, binfmt=binfmt, bare=bare):
        raise BuildError(
            f"This machine cannot build for {', '.join(absent)}: emulation is not set up.",
            hint=ADVICE,
            reason=Reason.WRONG_PLATFORM,
            details={"platforms": absent},
        )


def capabilities(
    platforms: Sequence[str], docker_host: str = "", *, binfmt: Path = BINFMT, bare: bool = BARE
) -> list[Capability]:
    """One line per platform."""
    native = engine_architecture(docker_host)
    seen = _is_seen(docker_host, binfmt, bare)
    return [_capability(platform, native, binfmt, seen) for platform in platforms]


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


def _capability(platform: str, native: str, binfmt: Path, seen: bool) -> Capability:
    name, architecture = f"platform {platform}", _architecture(platform)
    if _runs_alone(architecture, native):
        return Capability(name, True, "native")
    if not seen:
        return Capability(name, False, UNKNOWN, ELSEWHERE)
    if not _runs(architecture, native, binfmt):
        return Capability(name, False, "no emulation registered", ADVICE)
    return Capability(name, True, "emulated (binfmt)")


def _is_seen(docker_host: str, binfmt: Path, bare: bool) -> bool:
    """On a bare machine nothing is registered while binfmt_misc is not mounted; in a container it is just
    not mounted there, whatever the machine has."""
    return _is_local(docker_host) and (bare or (binfmt / "status").is_file())


def _is_local(docker_host: str) -> bool:
    return not docker_host or docker_host.startswith(("unix://", "/"))


def _architecture(platform: str) -> str:
    return platform.split("/")[1] if "/" in platform else platform


def _runs(architecture: str, native: str, binfmt: Path) -> bool:
    if _runs_alone(architecture, native):
        return True
    return _emulates(binfmt / f"qemu-{QEMU.get(architecture, architecture)}")


def _runs_alone(architecture: str, native: str) -> bool:
    return architecture == native or architecture in ALSO_RUNS.get(native, ())


def _emulates(entry: Path) -> bool:
    """An entry helps inside images only with the flag F, which holds the interpreter open."""
    if not entry.is_file():
        return False
    lines = entry.read_text().splitlines()
    flags = next((line for line in lines if line.startswith("flags:")), "")
    return lines[:1] == ["enabled"] and "F" in flags.removeprefix("flags:")
