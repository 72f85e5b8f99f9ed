"""A node for the private API server: containerd, kubelet and a bridge network, on this machine, as root.

Pods are reached from this machine by their addresses, and so by the API server, which is how the platform
calls them; there is no kube-proxy, which would write rules into the machine's packet filter.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

import yaml

from . import base_images, publish, registry
from .engine import make_bridge, mount_cgroups
from .requirement import BenchError, Requirement
from .workspace import CGROUPS, Workspace, free_port

_PLUGINS = Requirement("bridge", "containernetworking-plugins", ("/usr/lib/cni/bridge",))
_CONTAINERD = Requirement("containerd", "containerd", ("/usr/bin/containerd",))
_CTR = Requirement("ctr", "containerd", ("/usr/bin/ctr",))
PROGRAMS = (_PLUGINS, _CONTAINERD, _CTR, Requirement("runc", "runc"), Requirement("sysctl", "procps"))
WITHOUT_PROXIES = (
    "env",
    *(word for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy") for word in ("-u", name)),
)
# The first process of each pod: it waits, and reaps what the server leaves.
_PAUSE = ["/bin/sh", "-c", 'trap "exit 0" TERM INT; while :; do sleep 3600 & wait $!; done']
# What a kubelet sets on its machine.
_KERNEL = (
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
)


@dataclass(frozen=True)
class Node:
    """`network` holds the pods' addresses."""

    name: str
    network: IPv4Network
    workspace: Workspace

    def tidy_after(self, namespace: str) -> None:
        """Deletes the logs that a kubelet keeps outside its directory, and leaves if it is killed."""
        files = f"rm -rf /var/log/pods/{namespace}_* /var/log/containers/*_{namespace}_*"
        self.workspace.undo_later(["sh", "-c", files])


def start_node(workspace: Workspace, kubeconfig: Path, programs: Path) -> Node:
    """A node that is ready for pods (about 10 s), of this machine's architecture."""
    home, token = workspace.directory("node"), workspace.path.name
    mount_cgroups()
    _make_cgroups(token)
    _remember_kernel(workspace)
    bridge, pool = make_bridge(workspace)
    network = next(pool.subnets(new_prefix=24))
    socket = _start_containerd(workspace, home, bridge, network)
    name, address = token, str(network[1])
    command = _kubelet(programs, home, kubeconfig, socket, name, address)
    workspace.start(
        command, log=home / "kubelet.log", ready=lambda: _is_ready(programs, kubeconfig, name), seconds=120
    )
    return Node(name, network, workspace)


def _start_containerd(workspace: Workspace, home: Path, bridge: str, network: IPv4Network) -> Path:
    socket = home / "containerd.sock"
    _write_network(home, bridge, network, workspace)
    (home / "containerd.toml").write_text(_containerd_toml(home, socket, _pause_image(workspace)))
    workspace.start(
        [
            *WITHOUT_PROXIES,
            _located(_CONTAINERD),
            "--config",
            f"{home}/containerd.toml",
            "--log-level",
            "warn",
        ],
        log=home / "containerd.log",
        ready=lambda: (
            not subprocess.run([_located(_CTR), "-a", str(socket), "version"], capture_output=True).returncode
        ),
    )
    return socket


def _containerd_toml(home: Path, socket: Path, pause: str) -> str:
    return f"""\
version = 2
root = "{home}/containerd/root"
state = "{home}/containerd/state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true # a machine that is a container itself cannot lower it
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{Path(_located(_PLUGINS)).parent}"
    conf_dir = "{home}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def _write_network(home: Path, bridge: str, network: IPv4Network, workspace: Workspace) -> None:
    addresses = {"subnet": str(network), "rangeStart": str(network[10]), "gateway": str(network[1])}
    plugin = {
        "type": "bridge",
        "bridge": bridge,
        "isGateway": True,
        "ipam": {
            "type": "host-local",
            "dataDir": f"{home}/addresses",
            "ranges": [[addresses]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    (home / "cni").mkdir()
    document = {"cniVersion": "0.4.0", "name": bridge, "plugins": [plugin]}
    (home / "cni/10-bench.conflist").write_text(json.dumps(document))
    workspace.undo_later(["sh", "-c", f"rm -f /var/lib/cni/results/{bridge}-*"])


def _pause_image(workspace: Workspace) -> str:
    """Keeps the image where containerd can pull it again: a node deletes images that it considers unused."""
    host, busybox = registry.start_plain(workspace).host, base_images.serve(workspace)["busybox"]
    return publish.with_command(busybox, host, "pause", base_images.own_architecture(), _PAUSE)


def _kubelet(
    programs: Path, home: Path, kubeconfig: Path, socket: Path, name: str, address: str
) -> list[str]:
    (home / "kubelet").mkdir()
    (home / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet_configuration(home, name, address)))
    return [
        *WITHOUT_PROXIES,
        str(programs / "kubelet"),
        *("--config", f"{home}/kubelet.yaml", "--kubeconfig", str(kubeconfig)),
        *("--container-runtime", "remote", "--container-runtime-endpoint", f"unix://{socket}"),
        *("--hostname-override", name, "--node-ip", address),
        *("--root-dir", f"{home}/kubelet", "--cert-dir", f"{home}/kubelet/pki"),
    ]


def _kubelet_configuration(home: Path, name: str, address: str) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "port": free_port(),
        "healthzPort": 0,
        "readOnlyPort": 0,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{name}",
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "volumePluginDir": f"{home}/volume-plugins",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "3s",
        "resolvConf": "/etc/resolv.conf",
    }


def _make_cgroups(token: str) -> None:
    """Where all pods lie, so that the workspace finds them again."""
    for controller in sorted(path for path in CGROUPS.iterdir() if path.is_dir()):
        group = controller / token
        group.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (group / name).exists():
                (group / name).write_text((controller / name).read_text())


def _remember_kernel(workspace: Workspace) -> None:
    for name in _KERNEL:
        now = subprocess.run(["sysctl", "-n", name], check=True, capture_output=True, text=True).stdout
        workspace.undo_later(["sysctl", "-q", "-w", f"{name}={now.strip()}"])


def _is_ready(programs: Path, kubeconfig: Path, name: str) -> bool:
    condition = '{.status.conditions[?(@.type=="Ready")].status}'
    command = [str(programs / "kubectl"), "--kubeconfig", str(kubeconfig), "get", "node", name, "-o"]
    found = subprocess.run([*command, f"jsonpath={condition}"], capture_output=True, text=True, env=_plain())
    return found.stdout == "True"


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}


def _located(needed: Requirement) -> str:
    if path := needed.locate():
        return path
    raise BenchError(f"{needed.program} was not found: install it with `apt-get install {needed.package}`")
