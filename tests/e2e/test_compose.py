"""One machine as docs/install.md has it: the image built, the stack started, used, restarted, taken down."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
import requests

from deploy.bench import stack_images
from deploy.bench.engine import Engine
from deploy.bench.requirement import program
from deploy.bench.workspace import free_port
from tests.eventually import eventually
from tests.platform import hello_files

from .upping import Session, archive, greeted

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
NOT_OURS = shutil.ignore_patterns(".git", ".venv", "var", ".env", "secrets", "__pycache__", ".*_cache")
PARTS = ("web", "gateway", "worker", "reconciler")


@dataclass
class Stack:
    """A checkout of its own, and what its operator sets."""

    home: Path
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.environment["PUBLIC_URL"]

    @property
    def source(self) -> dict[str, str | bytes]:
        """The example with a Dockerfile that runs nothing: built in a moment."""
        lines = (f"FROM {self.environment['BASE_IMAGE_PYTHON']}", "WORKDIR /app", "COPY . ./", "USER 10001")
        return {**hello_files(), "Dockerfile": "\n".join((*lines, 'CMD ["python3", "server.py"]', ""))}

    @property
    def password(self) -> str:
        return (self.home / "secrets/admin_password").read_text()

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.home, env=dict(self.environment), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self) -> None:
        try:
            self.run("make", "stack")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.compose('logs', '--no-color')}") from None

    def compose(self, *words: str) -> str:
        return self.run(program("docker-compose"), *words)

    def states(self) -> dict[str, str]:
        """Each service's health as the engine has it, or its status where it has none."""
        client = docker.DockerClient(base_url=self.environment["DOCKER_HOST"])
        found = {}
        ours = {"label": "com.docker.compose.project=stack"}
        for each in client.containers.list(all=True, filters=ours, ignore_removed=True):
            state = each.attrs["State"]
            health = state.get("Health", {}).get("Status", "")
            found[each.labels["com.docker.compose.service"]] = health or state["Status"]
        client.close()
        return found

    def is_healthy(self) -> bool:
        states = self.states()
        return all(states.get(part) == "healthy" for part in PARTS) and states.get("proxy") == "running"


@pytest.fixture
def stack(own_engine: Engine, base_images: dict[str, str], tmp_path: Path) -> Stack:
    made = Stack(tmp_path / "checkout", _environment(own_engine, base_images))
    shutil.copytree(ROOT, made.home, ignore=NOT_OURS, symlinks=True)
    return made


def _environment(engine: Engine, base_images: Mapping[str, str]) -> dict[str, str]:
    images = stack_images.serve(engine.workspace)
    http, registry = free_port(), free_port()
    docker_cli = str(Path(program("docker")).parent)
    return {
        "PATH": f"{docker_cli}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/root"),
        "COMPOSE": program("docker-compose"),
        "COMPOSE_PROJECT_NAME": "stack",
        "COMPOSE_DOCKER_CLI_BUILD": "1",
        "DOCKER_BUILDKIT": "1",
        "DOCKER_HOST": engine.host,
        "DOCKER_SOCKET": engine.host.removeprefix("unix://"),
        "PYTHON_IMAGE": images["python"],
        "DOCKER_CLI_IMAGE": images["docker-cli"],
        "POSTGRES_IMAGE": images["postgres"],
        "REDIS_IMAGE": images["redis"],
        "REGISTRY_IMAGE": images["registry"],
        "PROXY_IMAGE": images["caddy"],
        "BASE_IMAGE_PYTHON": base_images["python"],
        "HTTP_PORT": str(http),
        "PUBLIC_URL": f"http://127.0.0.1:{http}",
        "REGISTRY_PORT": str(registry),
        "REGISTRY": f"127.0.0.1:{registry}/mcphost",
    }


@pytest.mark.timeout(600)
async def test_one_machine_from_a_checkout_to_a_tool_that_answers(stack: Stack) -> None:
    stack.start()
    eventually(stack.is_healthy, within=120, what="all are healthy")
    operator = Session(stack, stack.password)  # type: ignore[arg-type]  # it wants a URL only
    assert operator.login.status_code == 302
    assert requests.get(f"{stack.url}/metrics", timeout=60).status_code == 404

    with archive(stack.home, stack.source) as source:
        made = operator.upload("/api/servers/", source, name="Hello", slug="hello")
    server = f"/api/servers/{made['id']}/"
    eventually(lambda: operator.get(server)["status"] in ("running", "error"), within=120, what="it serves")
    assert operator.get(server)["status"] == "running", operator.get(server)
    serving = operator.get(f"/api/deployments/{operator.get(server)['serving']['id']}/")
    assert serving["image"].startswith(stack.environment["REGISTRY"])
    token = operator.post("/api/tokens/", {"name": "test", "scope": "mcp"})["value"]
    assert (await greeted(f"{stack.url}/mcp/hello", token))[1] == "Hello, Ada!"
    assert operator.get("/api/health/")["status"] == "ok"

    stack.compose("restart", *PARTS)
    eventually(stack.is_healthy, within=120, what="all are healthy again")
    assert operator.get(server)["status"] == "running"
    assert (await greeted(f"{stack.url}/mcp/hello", token))[1] == "Hello, Ada!"

    operator.post(f"{server}stop/")
    eventually(lambda: operator.get(server)["status"] == "stopped", within=120, what="it stopped")
    assert stack.password not in stack.compose("logs", "--no-color")
    stack.compose("down", "--volumes")
    assert stack.states() == {}
