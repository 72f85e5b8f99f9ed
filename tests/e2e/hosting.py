"""A platform with a real engine and registry behind it, sources to deploy, and the client that calls them."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import httpx2
import psutil
import requests
import uvicorn
from docker.models.containers import Container
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from access.actor import PLATFORM, Actor
from deploy.bench.requirement import program
from mcphost.asgi import make_application
from servers import services
from servers.models import Deployment, Server
from servers.models.token import Scope
from servers.states import DeploymentStatus, ServerStatus
from tests.eventually import eventually
from tests.platform import Platform, hello_files, processes_under

OURS = "mcphost.instance"


class DockerPlatform(Platform):
    """`base` gives references for FROM; `engine_url` may change when a test brings its own engine."""

    engine_url: str
    base: dict[str, str]
    data: Path

    def package(self, ecosystem: str, name: str, **fields: Any) -> Server:
        about = {"ecosystem": ecosystem, "name": name, **fields.pop("source", {})}
        return self.made(name.rpartition("/")[2], source_kind="package", source=about, **fields)

    def git(self, slug: str, url: str, **fields: Any) -> Server:
        return self.made(slug, source_kind="git", source={"url": url}, **fields)

    def made(self, slug: str, **fields: Any) -> Server:
        return services.create_server(
            by=Actor(self.owner), fields={"name": slug.title(), "slug": slug, **fields}
        )

    def healthy(self, slug: str = "hello") -> Server:
        """The bundled example with a Dockerfile that runs nothing: built in a moment for any platform."""
        return self.server(slug, self.healthy_files())

    def healthy_files(self) -> dict[str, str | bytes]:
        lines = ("WORKDIR /app", "COPY . ./", "USER 10001", 'CMD ["python3", "server.py"]')
        return {**hello_files(), "Dockerfile": "\n".join((f"FROM {self.base['python']}", *lines, ""))}

    def busybox(self, *lines: str) -> dict[str, str | bytes]:
        """A source of 2 MB whose Dockerfile goes on with `lines`."""
        return {"Dockerfile": "\n".join((f"FROM {self.base['busybox']}", *lines, ""))}

    def serves(self, server: Server, deployment: Deployment) -> Server:
        assert (deployment.status, deployment.error) == (DeploymentStatus.SUCCEEDED, "")
        server = self.fresh(server)
        assert (server.status, server.serving) == (ServerStatus.RUNNING, deployment)
        return server

    def failed(self, server: Server, deployment: Deployment, kind: str) -> str:
        """The reason, which is that of the server too."""
        assert (deployment.status, deployment.error_kind) == (DeploymentStatus.FAILED, kind), deployment.error
        server = self.fresh(server)
        assert (server.status, server.error_kind) == (ServerStatus.ERROR, kind)
        assert server.error == deployment.error
        assert self.events(deployment)[-1] == "deploy_failed"
        eventually(lambda: deployment.error in self.log(deployment), what="the log says it too")
        return deployment.error

    def containers(self) -> list[Container]:
        with engine(self.engine_url) as client:
            return client.containers.list(all=True, filters={"label": OURS}, ignore_removed=True)

    def tags(self) -> list[str]:
        """The tags of what was built here, and any image of ours that has none."""
        with engine(self.engine_url) as client:
            # `images.list` asks for each again, which may be gone by then.
            images = client.api.images(filters={"label": OURS})
            return [tag for image in images for tag in (_named(image["RepoTags"]) or [image["Id"]])]

    def left_behind(self) -> dict[str, list[str]]:
        """What is there although no server is: empty lists, if all is well."""
        return {
            "containers": [container.name for container in self.containers()],
            "images": self.tags(),
            "work": scratch_of(self.data),
            "processes": [*map(str, processes_under(self.data)), *builds()],
        }

    def all_gone(self) -> None:
        nothing: dict[str, list[str]] = {"containers": [], "images": [], "work": [], "processes": []}
        eventually(lambda: self.left_behind() == nothing, within=120, what=f"{self.left_behind()} is gone")

    def delete_everything(self) -> None:
        for server in Server.objects.all():
            services.delete(server=server, by=PLATFORM)
        eventually(lambda: not Server.objects.exists(), within=120, what="every server is deleted")


@contextmanager
def engine(url: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=url)
    try:
        yield client
    finally:
        client.close()


def scratch_of(data: Path) -> list[str]:
    work = data / "work"
    return sorted(str(path) for path in work.iterdir()) if work.is_dir() else []


def _named(tags: list[str] | None) -> list[str]:
    return [tag for tag in tags or () if tag != "<none>:<none>"]


def builds() -> list[str]:
    """Command lines of this process's children that still build or fetch."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it may end while it is looked at
            if process.name() in ("docker", "git", "uv", "npm", "docker-buildx"):
                found.append(" ".join(process.cmdline()))
    return found


@contextmanager
def front_door() -> Iterator[str]:
    """The whole application, gateway and live feeds included, on a free port of the loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_application(), log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    eventually(lambda: server.started, what="the front door is open")
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def call(door: str, server: Server, tool: str, **arguments: Any) -> tuple[set[str], str]:
    """Names of the tools, and the text that `tool` answers, with the mcp package's client."""
    _, token = services.issue_token(owner=server.owner, name="test", server=server, by=PLATFORM)
    return asyncio.run(_call(f"{door}/mcp/{server.slug}", token, tool, arguments))


async def _call(url: str, token: str, tool: str, arguments: dict[str, Any]) -> tuple[set[str], str]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        listed = await client.list_tools()
        answer = await client.call_tool(tool, arguments)
        return {found.name for found in listed.tools}, answer.content[0].text


def api_headers(server: Server) -> dict[str, str]:
    _, token = services.issue_token(owner=server.owner, name="test", scope=Scope.API, by=PLATFORM)
    return {"Authorization": f"Bearer {token}"}


def skopeo(reference: str, *options: str) -> Any:
    """What a tool that is not ours reads at a registry."""
    argv = [program("skopeo"), "inspect", *options, "--tls-verify=false", f"docker://{reference}"]
    return json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)


def tags_at(registry: str, repository: str) -> list[str]:
    answer = requests.get(f"http://{registry}/v2/{repository}/tags/list", timeout=60)
    return sorted(answer.json().get("tags") or []) if answer.ok else []
