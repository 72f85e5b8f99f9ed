"""A private Docker Engine. It does not touch another engine of the machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from .requirement import BenchError, program
from .workspace import CGROUPS, Daemon, Workspace

# Each engine owns one /20: its first /24 for the default bridge, its second half for user networks.
_POOLS = list(IPv4Network("172.16.0.0/12").subnets(new_prefix=20))[::-1]
# Bridges of user networks outlive an engine that was killed.
_DELETE_LINKS = '"$0" -br -4 addr show to "$1" | cut -d" " -f1 | xargs -r -n1 "$0" link del'


@dataclass(frozen=True)
class Engine:
    """A running engine; `host` is its DOCKER_HOST, `network` what all its containers' addresses lie in."""

    host: str
    network: IPv4Network
    daemon: Daemon
    workspace: Workspace


def start_engine(workspace: Workspace) -> Engine:
    """Start dockerd in a workspace (3 to 8 s); the workspace's close ends it and all its containers."""
    home = workspace.directory("engine")
    mount_cgroups()
    bridge, pool = make_bridge(workspace)
    _open_way_out(workspace, pool)
    host = f"unix://{home}/docker.sock"
    daemon = workspace.start(
        _arguments(home, host, bridge, pool, workspace.path.name),
        log=home / "dockerd.log",
        ready=lambda: _answers(host),
        seconds=120,
    )
    return Engine(host, pool, daemon, workspace)


def _arguments(home: Path, host: str, bridge: str, pool: IPv4Network, token: str) -> list[str]:
    upper_half = list(pool.subnets(new_prefix=21))[1]
    return [
        program("dockerd"),
        *("--config-file", str(_write(home / "daemon.json", "{}"))),
        *("--host", host, "--data-root", f"{home}/data", "--exec-root", f"{home}/exec"),
        *("--pidfile", f"{home}/dockerd.pid", "--bridge", bridge),
        *("--default-address-pool", f"base={upper_half},size=27"),
        # An engine with iptables=true flushes the chains of others: `_open_way_out` adds three rules instead.
        *("--iptables=false", "--ip6tables=false"),
        # The machine's containerd may be running, and is then shared: keep out of its namespaces.
        *("--containerd-namespace", token, "--containerd-plugins-namespace", f"{token}-plugins"),
        *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{token}"),
    ]


def make_bridge(workspace: Workspace) -> tuple[str, IPv4Network]:
    """Claim a free address pool; the name of its bridge is the claim, so two suites can't take the same."""
    ip = program("ip")
    for number, pool in enumerate(_POOLS):
        if any(pool.overlaps(used) for used in _networks_in_use()):
            continue
        bridge = f"mcphost{number}"
        if subprocess.run([ip, "link", "add", bridge, "type", "bridge"], capture_output=True).returncode:
            continue
        workspace.undo_later([ip, "link", "del", bridge])
        workspace.undo_later(["sh", "-c", _DELETE_LINKS, ip, str(pool)])
        subprocess.run([ip, "addr", "add", f"{pool[1]}/24", "dev", bridge], check=True)
        subprocess.run([ip, "link", "set", bridge, "up"], check=True)
        return bridge, pool
    raise BenchError(
        "no free /20 network in 172.16.0.0/12 for a private Docker Engine (or no right to add a bridge)"
    )


def _networks_in_use() -> Iterator[IPv4Network]:
    routes = subprocess.run([program("ip"), "-j", "-4", "route"], check=True, capture_output=True).stdout
    for route in json.loads(routes or b"[]"):
        if route["dst"] != "default":
            yield IPv4Network(route["dst"], strict=False)


def _open_way_out(workspace: Workspace, pool: IPv4Network) -> None:
    iptables = [program("iptables"), "-w"]
    for table, chain, match in (
        ("nat", "POSTROUTING", ["-s", str(pool), "!", "-d", str(pool), "-j", "MASQUERADE"]),
        ("filter", "FORWARD", ["-s", str(pool), "-j", "ACCEPT"]),
        ("filter", "FORWARD", ["-d", str(pool), "-j", "ACCEPT"]),
    ):
        workspace.undo_later([*iptables, "-t", table, "-D", chain, *match])
        subprocess.run([*iptables, "-t", table, "-I", chain, *match], check=True)


def mount_cgroups() -> None:
    """Mounts cgroups, which dockerd needs: a virtual machine without systemd may not have them mounted."""
    if any(" cgroup" in line for line in Path("/proc/mounts").read_text().splitlines()):
        return
    _mount("tmpfs", "cgroup_root", CGROUPS, "mode=755")
    for line in Path("/proc/cgroups").read_text().splitlines():
        name, *_, enabled = line.split()
        if not name.startswith("#") and enabled == "1":
            (CGROUPS / name).mkdir(exist_ok=True)
            _mount("cgroup", "cgroup", CGROUPS / name, name)
    (CGROUPS / "systemd").mkdir(exist_ok=True)
    _mount("cgroup", "cgroup", CGROUPS / "systemd", "none,name=systemd")


def _mount(kind: str, source: str, target: Path, options: str) -> None:
    subprocess.run(
        ["mount", "-t", kind, "-o", options, source, str(target)], check=False, capture_output=True
    )


def _answers(host: str) -> bool:
    try:
        client = docker.DockerClient(base_url=host, timeout=5)
    except (DockerException, RequestException):
        return False
    try:
        return bool(client.ping())
    except (DockerException, RequestException):
        return False
    finally:
        client.close()


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
