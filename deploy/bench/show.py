"""The image pipeline, shown in a terminal: `make demo` brings up what it needs and runs this."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mcphost.settings")

import django

django.setup()

import asyncio
import json
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import httpx2
import uvicorn
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from access.actor import PLATFORM, Actor
from cli.following import follow
from metrics.models import UsageMetric
from servers import services
from servers.models import Deployment, Server
from servers.operations import background, first_run
from servers.states import Trigger

from .requirement import program


def main() -> int:
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0)
    owner = User.objects.create_superuser("demo", password=secrets.token_urlsafe())
    behind = background.Background(worker=True, reconciler=True)
    behind.start()
    try:
        with _front_door() as url:
            return _show(owner, url)
    finally:
        behind.stop()


def _show(owner: User, url: str) -> int:
    _say(f"Building for {', '.join(settings.REGISTRY_ARCH_TARGETS)}, pushing to {settings.REGISTRY}")
    server = first_run.hello(owner, runtime="docker")
    deployment = services.deploy(server=server, by=Actor(owner), trigger=Trigger.COMMAND)
    if not follow(deployment):
        return 1
    deployment.refresh_from_db()
    _show_timeline(deployment)
    _show_registry(deployment)
    _show_platforms(deployment)
    _, token = services.issue_token(owner=owner, by=PLATFORM, name="demo", server=server)
    _say("Calling tools through the gateway, with the client of the mcp package")
    asyncio.run(_call(f"{url}/mcp/{server.slug}", token))
    _say("Deleting the server")
    services.delete(server=server, by=PLATFORM)
    while Server.objects.exists():
        time.sleep(0.1)
    print("  gone: container, images, rows")
    return 0


def _show_timeline(deployment: Deployment) -> None:
    _say("Timeline")
    for metric in UsageMetric.objects.filter(deployment=deployment).order_by("pk"):
        assert deployment.started_at
        since = (metric.timestamp - deployment.started_at).total_seconds()
        about = metric.details.get("digest") or metric.details.get("tag") or ""
        print(f"  {since:7.2f} s  {metric.event_type:<20} {metric.platform:<12} {about}")


def _show_registry(deployment: Deployment) -> None:
    """The registry's manifest, as skopeo prints it."""
    reference = f"{deployment.build.image.partition('@')[0]}@{deployment.build.digest}"
    _say(f"What skopeo reads at {reference}")
    argv = [program("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{reference}"]
    index = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    for entry in index["manifests"]:
        platform = entry["platform"]
        print(f"  {platform['os']}/{platform['architecture']:<6} {entry['digest']}")


def _show_platforms(deployment: Deployment) -> None:
    _say("Running the image of each platform")
    client = docker.DockerClient(base_url=settings.DOCKER_HOST)
    ask = "import platform; print(platform.machine(), platform.python_version())"
    for platform, image in deployment.build.images.items():
        said = client.containers.run(
            image["reference"], ["-c", ask], entrypoint="python3", platform=platform, remove=True
        )
        print(f"  {platform:<12} {said.decode().strip()}")


def _say(text: str) -> None:
    print(f"\n{text}", flush=True)


async def _call(url: str, token: str) -> None:
    print(f"  {url}")
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            tools = await client.list_tools()
            print("  tools:", ", ".join(tool.name for tool in tools.tools))
            answer = await client.call_tool("greet", {"name": "operator"})
            print("  greet:", answer.content[0].text)


@contextmanager
def _front_door() -> Iterator[str]:
    """The web application on a free port of the loopback, in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    application = settings.ASGI_APPLICATION.replace(".asgi.", ".asgi:")
    server = uvicorn.Server(uvicorn.Config(application, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    sys.exit(main())
