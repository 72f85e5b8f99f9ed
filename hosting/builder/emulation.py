"""Tells whether this machine can build and run images of other platforms, by binfmt_misc and QEMU.

Reference: docs.kernel.org/admin-guide/binfmt-misc.html.
"""

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
# The inodes of the first namespaces of a kernel (PROC_PID_INIT_INO, PROC_CGROUP_INIT_INO). A container has
# others. Its cgroup namespace is another one even where it shares the pid namespace of the machine.
FIRST_NAMESPACES = {"pid:[4026531836]", "cgroup:[4026531835]"}
ADVICE = (
    "Install qemu-user-static and binfmt-support (Debian, Ubuntu), "
    "or run docker run --privileged --rm tonistiigi/binfmt --install all."
)
UNKNOWN = "not known from here"
ELSEWHERE = f"A build tells; what it needs belongs where the engine runs. {ADVICE}"
# The name in QEMU by OCI architecture; OCI architecture by `uname -m`; what a processor runs besides its own.
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


def is_outside_container() -> bool:
    """Whether this process runs outside of containers, and so sees the mounts of the machine."""
    kinds = ("pid", "cgroup")
    # Without such a link (an old kernel, or not Linux) the path resolves to itself.
    return {os.path.basename(os.path.realpath(f"/proc/self/ns/{kind}")) for kind in kinds} == FIRST_NAMESPACES


OUTSIDE_CONTAINER = is_outside_container()


def missing(
    platforms: Sequence[str],
    docker_host: str = "",
    *,
    binfmt: Path = BINFMT,
    outside_container: bool = OUTSIDE_CONTAINER,
) -> list[str]:
    """Those of `platforms` that the engine's machine cannot run; [] where it cannot be seen from here.

    `binfmt` is the mount point of binfmt_misc. `outside_container`: this process runs outside of containers.
    """
    if not _is_seen(docker_host, binfmt, outside_container):
        return []
    native = engine_architecture(docker_host)
    return [platform for platform in platforms if not _runs(_architecture(platform), native, binfmt)]


def require(
    platforms: Sequence[str],
    docker_host: str = "",
    *,
    binfmt: Path = BINFMT,
    outside_container: bool = OUTSIDE_CONTAINER,
) -> None:
    """Raises `BuildError` where `missing` finds a platform."""
    if absent := missing(platforms, docker_host, binfmt=binfmt, outside_container=outside_container):
        raise BuildError(
            f"This machine cannot build for {', '.join(absent)}: emulation is not set up.",
            hint=ADVICE,
            reason=Reason.WRONG_PLATFORM,
            details={"platforms": absent},
        )


def capabilities(
    platforms: Sequence[str],
    docker_host: str = "",
    *,
    binfmt: Path = BINFMT,
    outside_container: bool = OUTSIDE_CONTAINER,
) -> list[Capability]:
    """One for each of `platforms`."""
    native = engine_architecture(docker_host)
    seen = _is_seen(docker_host, binfmt, outside_container)
    return [_capability(platform, native, binfmt, seen) for platform in platforms]


def engine_architecture(docker_host: str = "") -> str:
    """The OCI architecture of the engine, such as amd64; that of this machine where no engine answers."""
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


def _is_seen(docker_host: str, binfmt: Path, outside_container: bool) -> bool:
    """Whether the registered emulators can be read. Outside of containers, no mount of binfmt_misc means that
    none is registered. In a container it means nothing, since only the machine may have the mount.
    """
    return _is_local(docker_host) and (outside_container or (binfmt / "status").is_file())


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
    """Whether an entry is enabled and has the flag F: with it the kernel keeps the emulator open, so that it
    also works inside of images.
    """
    if not entry.is_file():
        return False
    lines = entry.read_text().splitlines()
    flags = next((line for line in lines if line.startswith("flags:")), "")
    return lines[:1] == ["enabled"] and "F" in flags.removeprefix("flags:")
