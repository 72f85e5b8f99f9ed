"""Makes the arguments of docker-py's `containers.create` from a RunSpec. Pure functions."""

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
    """Where the server will listen: on `host_port` of the loopback address, or by `name` on `network`."""

    name: str
    instance: str
    host_port: int = 0
    network: str = ""

    def endpoint(self, spec: RunSpec) -> str:
        address = f"{self.name}:{spec.port}" if self.network else f"127.0.0.1:{self.host_port}"
        return f"http://{address}/{spec.path.lstrip('/')}"


def container(spec: RunSpec, place: Placement, *, image_user: str) -> dict[str, Any]:
    """The arguments for one run.

    `image_user` is the user in the image's config. It is kept, even root: without capabilities root has no
    more rights than other users. For an image without a user ("") FALLBACK_USER is set.

    `restart_policy`: the engine itself restarts a container that fails, a few times and with doubling pauses.
    This repairs a crash in a tenth of a second, also while the platform is down. A container that keeps
    failing stays dead; the platform sees that and restarts it, with longer pauses and an entry in the
    history. The platform chooses the port of the host: the engine would choose a new one at each restart.
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
        "init": True,  # a first process that reaps zombies and forwards signals
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
    home = {} if image_user else {"HOME": TMP}  # FALLBACK_USER has no home in the image
    address = {"PORT": str(spec.port), "HOST": "0.0.0.0"} if spec.transport == "streamable-http" else {}
    return {**home, **spec.environment, **address}


def _labels(spec: RunSpec, place: Placement) -> dict[str, str]:
    """The labels by which a run is found again, even where the database has lost its row."""
    return {
        f"{LABEL}instance": place.instance,
        f"{LABEL}server": str(spec.server_id),
        f"{LABEL}slug": spec.slug,
        f"{LABEL}deployment": str(spec.deployment_id),
        f"{LABEL}number": str(spec.number),
        f"{LABEL}run": str(spec.run_id),
        f"{LABEL}endpoint": place.endpoint(spec),
    }
