"""A private Kubernetes API server with its controllers and scheduler. Its nodes are `kubernetes_node`'s."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from . import kubernetes_build, kubernetes_node, requirement
from .requirement import BenchError, Requirement
from .workspace import Daemon, Workspace, free_port

_ETCD = Requirement("etcd", "etcd-server")
WITHOUT_PROXIES = kubernetes_node.WITHOUT_PROXIES
_START_SECONDS = 90
_SERVICES = "10.79.0.0/16"  # addresses that are only written down: nothing routes them here


def prepare() -> int:
    """Install what is missing and build once; returns an exit status."""
    built = kubernetes_build.find(kubernetes_build.FULL)
    needed = [_ETCD, *kubernetes_node.PROGRAMS, *(() if built else kubernetes_build.TOOLS)]
    if status := requirement.prepare("make test-kubernetes", needed):
        return status
    kubernetes_build.build(kubernetes_build.FULL)
    return 0


@dataclass(frozen=True)
class ControlPlane:
    """`kubeconfig` is an administrator's; `answers` asks the API server whether it is ready."""

    kubeconfig: Path
    programs: Path
    api: Daemon
    answers: Callable[[], bool]

    @contextmanager
    def api_away(self) -> Iterator[None]:
        """The API server dies at once; after the block it is back at the same address, and ready."""
        self.api.stop()
        try:
            yield
        finally:
            self.api.start_again()
            self.api.wait_until(self.answers, _START_SECONDS)


def start_api(workspace: Workspace) -> ControlPlane:
    """Start etcd, API server, controller manager and scheduler (about 8 s)."""
    home = workspace.directory("kubernetes")
    programs = _programs()
    etcd = _start_etcd(workspace, home)
    url, token = f"https://127.0.0.1:{free_port()}", secrets.token_urlsafe(24)
    (home / "tokens.csv").write_text(f"{token},admin,1,system:masters\n")
    _write_key(home / "accounts.key")
    answers = partial(_ready, home, url, token)
    api = workspace.start(
        _server_arguments(programs, home, etcd, url.rpartition(":")[2]),
        log=home / "kube-apiserver.log",
        ready=answers,
        seconds=_START_SECONDS,
        stop_signal=signal.SIGKILL,
    )
    kubeconfig = _write_kubeconfig(home, url, token)
    _start_controllers(workspace, programs, home, kubeconfig)
    return ControlPlane(kubeconfig, programs, api, answers)


def _programs() -> Path:
    if found := kubernetes_build.find():
        return found
    raise BenchError("Kubernetes is not built yet: run `make test-kubernetes`, which does it once")


def _start_etcd(workspace: Workspace, home: Path) -> str:
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    workspace.start(
        [
            _located(_ETCD),
            *("--name", "bench", "--data-dir", f"{home}/etcd", "--unsafe-no-fsync", "--log-level", "error"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"bench={peer}"),
        ],
        log=home / "etcd.log",
        ready=lambda: _answers(f"{client}/health"),
        stop_signal=signal.SIGKILL,
    )
    return client


def _server_arguments(programs: Path, home: Path, etcd: str, port: str) -> list[str]:
    return [
        *WITHOUT_PROXIES,
        str(programs / "kube-apiserver"),
        *("--etcd-servers", etcd, "--cert-dir", str(home)),  # makes its own certificate there
        *("--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", port),
        *("--endpoint-reconciler-type", "none", "--service-cluster-ip-range", _SERVICES),
        *("--token-auth-file", f"{home}/tokens.csv", "--authorization-mode", "Node,RBAC"),
        *("--service-account-key-file", f"{home}/accounts.key"),
        *("--service-account-signing-key-file", f"{home}/accounts.key"),
        *("--service-account-issuer", "https://kubernetes.default.svc"),
        *("--kubelet-preferred-address-types", "InternalIP"),
    ]


def _start_controllers(workspace: Workspace, programs: Path, home: Path, kubeconfig: Path) -> None:
    common = ["--kubeconfig", str(kubeconfig), "--leader-elect=false", "--port", "0", "--secure-port", "0"]
    common += ["--kube-api-qps", "300", "--kube-api-burst", "600"]
    for name, more in (
        (
            "kube-controller-manager",
            [
                *("--service-account-private-key-file", f"{home}/accounts.key"),
                *("--root-ca-file", f"{home}/apiserver.crt"),
            ],
        ),
        ("kube-scheduler", []),
    ):
        log = home / f"{name}.log"
        command = [str(programs / name), *common, *more]
        workspace.start(command, log=log, ready=log.exists, stop_signal=signal.SIGKILL)


def _ready(home: Path, url: str, token: str) -> bool:
    certificate = home / "apiserver.crt"
    headers = {"Authorization": f"Bearer {token}"}
    return certificate.exists() and _answers(f"{url}/readyz", str(certificate), headers)


def _answers(url: str, certificate: str | None = None, headers: dict[str, str] | None = None) -> bool:
    with requests.Session() as session:
        session.trust_env = False  # no proxy stands before loopback
        try:
            return session.get(url, verify=certificate, headers=headers, timeout=5).ok
        except (requests.RequestException, OSError):
            return False


def _write_key(path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def _write_kubeconfig(home: Path, url: str, token: str) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "bench", "cluster": {"server": url, "certificate-authority": f"{home}/apiserver.crt"}}
        ],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "admin"}}],
        "current-context": "bench",
    }
    path = home / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def _located(needed: Requirement) -> str:
    if path := needed.locate():
        return path
    raise BenchError(f"{needed.program} was not found: install it with `apt-get install {needed.package}`")
