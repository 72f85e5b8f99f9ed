"""The bench itself: what it starts works, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import docker
import psycopg
import pytest
import redis
import requests

from deploy.bench import publish, requirement, still, workspace
from deploy.bench.engine import start_engine
from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.registry import Registry
from deploy.bench.requirement import BenchError, Requirement
from deploy.bench.workspace import Workspace

pytestmark = pytest.mark.real


def left_over(name: str) -> list[str]:
    """Processes, mounts, cgroups and directories that carry the name of a workspace."""
    processes = [str(pid) for pid in workspace._pids_naming(name)]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if name in line]
    directories = [str(path) for path in workspace._cgroups(name)]
    return [*processes, *mounts, *directories]


def traces_of(network: str) -> str:
    """Links and packet filter rules for the addresses of an engine."""
    links = subprocess.run(
        ["ip", "-br", "-4", "addr", "show", "to", network], check=True, capture_output=True, text=True
    ).stdout
    rules = subprocess.run(["iptables-save"], check=True, capture_output=True, text=True).stdout
    return links + "".join(line for line in rules.splitlines() if network in line)


def run_container(host: str, image: str) -> docker.models.containers.Container:
    client = docker.DockerClient(base_url=host)
    own = client.networks.create("own")
    return client.containers.run(
        image,
        ["sleep", "600"],
        detach=True,
        network=own.name,
        restart_policy={"Name": "always"},
    )


def test_an_engine_leaves_nothing_behind(base_images: dict[str, str]) -> None:
    with Workspace() as own:
        engine = start_engine(own)
        container = run_container(engine.host, base_images["busybox"])
        container.reload()
        assert container.status == "running"
        assert traces_of(str(engine.network)) != ""
    assert left_over(own.path.name) == []
    assert traces_of(str(engine.network)) == ""
    assert not own.path.exists()


def test_a_run_that_was_killed_is_swept_by_the_next(base_images: dict[str, str]) -> None:
    script = f"""
import os, signal
from deploy.bench.engine import start_engine
from deploy.bench.workspace import Workspace
from tests.bench.test_bench import run_container
own = Workspace()
engine = start_engine(own)
run_container(engine.host, {base_images["busybox"]!r})
print(own.path.name, engine.network, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    name, network = killed.stdout.split()
    workspace.sweep()
    assert left_over(name) == []
    assert traces_of(network) == ""


def test_two_engines_run_side_by_side(docker_host: str, base_images: dict[str, str]) -> None:
    with Workspace() as own:
        other = start_engine(own).host
        for host in (docker_host, other):
            client = docker.DockerClient(base_url=host)
            assert client.containers.run(base_images["busybox"], ["echo", "up"], remove=True) == b"up\n"


@pytest.mark.parametrize(
    ("platform", "machine"), [("linux/amd64", b"x86_64\n"), ("linux/arm64", b"aarch64\n")]
)
def test_base_images_run_on_both_platforms(
    docker_host: str, busybox_image: Callable[[str], str], platform: str, machine: bytes
) -> None:
    client = docker.DockerClient(base_url=docker_host)
    assert client.containers.run(busybox_image(platform), ["uname", "-m"], remove=True) == machine


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("python", ["python", "-c", "import ssl, sqlite3, venv, pip; print('works')"]),
        ("node", ["node", "--eval", "require('crypto'); console.log('works')"]),
    ],
)
def test_languages_work_on_both_platforms(
    docker_host: str, base_images: dict[str, str], platform: str, name: str, command: list[str]
) -> None:
    client = docker.DockerClient(base_url=docker_host)
    image = client.images.pull(base_images[name], platform=platform)
    assert client.containers.run(image.id, command, remove=True, user="10001") == b"works\n"


def test_basic_registry_asks_for_its_password(registry_basic: Registry) -> None:
    url = f"http://{registry_basic.host}/v2/"
    assert requests.get(url, timeout=60).status_code == 401
    login = (registry_basic.username, registry_basic.password)
    assert requests.get(url, auth=login, timeout=60).status_code == 200


def token(registry: Registry, password: str) -> requests.Response:
    assert registry.tokens is not None
    scope = {"scope": "repository:a/b:push,pull", "service": "mcphost-bench-registry"}
    login = (registry.username, password)
    return requests.get(registry.tokens.realm, params=scope, auth=login, timeout=60)


def test_token_registry_takes_its_tokens(registry_token: Registry) -> None:
    url = f"http://{registry_token.host}/v2/a/b/blobs/uploads/"
    assert 'Bearer realm="http://127.0.0.1:' in requests.post(url, timeout=60).headers["WWW-Authenticate"]
    bearer = token(registry_token, registry_token.password).json()["token"]
    assert requests.post(url, headers={"Authorization": f"Bearer {bearer}"}, timeout=60).status_code == 202
    assert token(registry_token, "wrong").status_code == 401


def test_token_registry_can_be_told_to_revoke(registry_token: Registry) -> None:
    registry_token.control({"revoke_after": 1})
    answers = [token(registry_token, registry_token.password).status_code for _ in range(2)]
    assert answers == [200, 401]


def test_fault_proxy_breaks_what_it_is_told_to_and_heals(fault_proxy: FaultProxy) -> None:
    url = f"http://{fault_proxy.host}/v2/"
    fault_proxy.set(
        [
            {"method": "GET", "action": "status", "status": 429, "headers": {"Retry-After": "2"}, "times": 1},
            {"method": "GET", "action": "reset", "times": 1},
        ]
    )
    limited = requests.get(url, timeout=60)
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "2")
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=60)
    assert requests.get(url, timeout=60).status_code == 200
    assert [action for _, _, action in fault_proxy.log] == ["status", "reset", None]


def test_fault_proxy_passes_a_push_through(
    fault_proxy: FaultProxy, registry_plain: Registry, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").write_text("content")
    pushed = publish.image(fault_proxy.host, "through/proxy", tmp_path / "root", "amd64", tmp_path)
    url = f"http://{registry_plain.host}/v2/through/proxy/manifests/{pushed.digest}"
    assert requests.head(url, headers={"Accept": "*/*"}, timeout=60).status_code == 200


def test_databases_answer(postgres_url: str, redis_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("show server_encoding").fetchone() == ("UTF8",)
    assert redis.Redis.from_url(redis_url).ping()


def test_a_service_that_does_not_start_says_why(bench: Workspace, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="/no/such/file"):
        bench.start(["cat", "/no/such/file"], log=tmp_path / "log", ready=lambda: False)


def test_what_is_missing_is_listed_with_its_package() -> None:
    absent = Requirement("no-such-program", "no-such-package")
    assert absent.locate() is None
    lines = list(requirement._of_programs("make test", [absent]))
    assert lines[0] == "make test needs programs that this machine lacks:"
    assert lines[-1] == "install them with: apt-get install no-such-package"


def test_a_command_gets_its_services_and_they_end_with_it() -> None:
    command = ["-m", "deploy.bench", "with", "redis", "--", sys.executable, "-c"]
    script = "import os, redis; u = os.environ['BROKER_URL']; print(u, redis.Redis.from_url(u).ping())"
    done = subprocess.run(
        [sys.executable, *command, script], capture_output=True, text=True, timeout=60, env=os.environ
    )
    url, answered = done.stdout.split()
    assert answered == "True"
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(url).ping()


def test_a_read_only_registry_serves_the_cached_store(base_images: dict[str, str]) -> None:
    host = base_images["python"].split("/")[0]
    answer = requests.post(f"http://{host}/v2/base/python/blobs/uploads/", timeout=60)
    assert answer.status_code == 405


def test_a_browser_hears_nothing_of_the_machines_networks(tmp_path: Path) -> None:
    """Else Chromium drops what it is loading as soon as a container's network comes beside it."""
    started = still.starter(tmp_path / "python", sys.executable)
    asks = "import socket; socket.socket(); print('inet'); socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"
    done = subprocess.run([started, "-c", asks], capture_output=True, text=True, check=False)
    assert done.stdout == "inet\n"
    assert "Address family not supported" in done.stderr
