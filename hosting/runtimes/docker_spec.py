"""RunSpec → arguments of `containers.create`: pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from docker.types import LogConfig, Ulimit

from hosting.runtimes.base import RunSpec

LABEL = "mcphost."
FALLBACK_USER = "10001:10001"
TMP, TMP_MB = "/tmp", 64  # noqa: S108 (the container's)
TMPFS = f"rw,nosuid,nodev,exec,size={TMP_MB}m,mode=1777"
RESTARTS = 3
OPEN_FILES = 8192
NANO = 1_000_000_000


@dataclass(frozen=True)
class Placement:
    """Where the server will be reached: through `host_port` on loopback, or by its name on `network`."""

    name: str
    instance: str
    host_port: int = 0
    network: str = ""

    def endpoint(self, spec: RunSpec) -> str:
        address = f"{self.name}:{spec.port}" if self.network else f"127.0.0.1:{self.host_port}"
        return f"http://{address}/{spec.path.lstrip('/')}"


def container(spec: RunSpec, place: Placement, *, image_user: str) -> dict[str, Any]:
    """The arguments for one run.

    An image's own user is kept, root included where the image asks for it: with no capability left it is
    root by name. Where it names none, FALLBACK_USER runs it.

    `restart_policy`: the engine restarts what fails at once, with its own doubling pause and a few times
    only. A crash is so healed in a tenth of a second and even while the platform is away; what keeps failing
    is left dead, for the platform to see and to restart with longer pauses and a trace in its history. The
    host's port is chosen here and not by the engine, which would give another at each restart.
    """
    return {
        "image": spec.image,
        "name": place.name,
        "command": list(spec.command) or None,
        "environment": _environment(spec, image_user),
        "user": image_user or FALLBACK_USER,
        "labels": _labels(spec, place),
        "restart_policy": {"Name": "on-failure", "MaximumRetryCount": RESTARTS},
        "log_config": LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"}),
        **_confinement(),
        **_limits(spec),
        **_network(spec, place),
    }


def _confinement() -> dict[str, Any]:
    return {
        "read_only": True,
        "tmpfs": {TMP: TMPFS},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "init": True,  # reaps, and passes signals on to what would ignore them as the first process
        "ulimits": [
            Ulimit(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
            Ulimit(name="core", soft=0, hard=0),
        ],
    }


def _limits(spec: RunSpec) -> dict[str, Any]:
    limits, found = spec.limits, dict[str, Any]()
    if limits.memory_mb:
        found["mem_limit"] = found["memswap_limit"] = f"{limits.memory_mb}m"  # equal: no swap
    if limits.cpu:
        found["nano_cpus"] = round(limits.cpu * NANO)
    if limits.pids:
        found["pids_limit"] = limits.pids
    return found


def _network(spec: RunSpec, place: Placement) -> dict[str, Any]:
    if place.network:
        return {"network": place.network}
    return {"ports": {f"{spec.port}/tcp": ("127.0.0.1", place.host_port)}}


def _environment(spec: RunSpec, image_user: str) -> dict[str, str]:
    home = {} if image_user else {"HOME": TMP}  # FALLBACK_USER has none in the image
    address = {"PORT": str(spec.port), "HOST": "0.0.0.0"} if spec.transport == "streamable-http" else {}
    return {**home, **spec.environment, **address}


def _labels(spec: RunSpec, place: Placement) -> dict[str, str]:
    """By these a run is found again, whatever became of the platform's rows."""
    return {
        f"{LABEL}instance": place.instance,
        f"{LABEL}server": str(spec.server_id),
        f"{LABEL}slug": spec.slug,
        f"{LABEL}deployment": str(spec.deployment_id),
        f"{LABEL}number": str(spec.number),
        f"{LABEL}run": str(spec.run_id),
        f"{LABEL}endpoint": place.endpoint(spec),
    }
