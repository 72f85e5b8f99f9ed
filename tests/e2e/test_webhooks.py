"""A push to a bare repository deploys: git, its post-receive hook, openssl, curl, and the platform's door."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from access.actor import Actor
from deploy.bench.requirement import program
from hooks import services
from hooks.models import Delivery, WebHook
from servers import services as server_services
from servers.models import Deployment, Server
from servers.states import FINAL
from tests.e2e.hosting import call
from tests.eventually import eventually
from tests.hosting.sources.git_server import GitServer, Repository
from tests.platform import Platform, hello_files

pytestmark = pytest.mark.real
DOCS = Path(__file__).parents[2] / "docs" / "webhooks.md"


def documented_hook() -> str:
    """The script that docs/webhooks.md shows: what is tested is what people copy."""
    found = re.search(r"```sh\n(#!/bin/sh\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert found
    return found[1]


class Bare:
    """A bare repository with the documented hook, and a clone to commit in."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self.work = Repository(root / "work")
        self.path = root / "hello.git"
        subprocess.run(["git", "init", "--bare", "--quiet", "-b", "main", self.path], check=True)
        hook = self.path / "hooks" / "post-receive"
        lines = [f"export {name}='{value}'" for name, value in environment.items()]
        hook.write_text(documented_hook().replace("#!/bin/sh\n", "\n".join(["#!/bin/sh", *lines, ""]), 1))
        hook.chmod(0o755)
        self.work.git("remote", "add", "origin", str(self.path))

    def push(self, ref: str = "main", *options: str) -> str:
        """Pushes; returns the commit."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.work.path)}
        argv = ["git", "push", "--quiet", *options, "origin", ref]
        done = subprocess.run(argv, cwd=self.work.path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return self.work.git("rev-parse", "HEAD")


@pytest.fixture
def forged(platform: Platform, forge: GitServer) -> Server:
    return server_services.create_server(
        by=Actor(platform.owner),
        fields={
            "name": "Hello",
            "slug": "hello",
            "source_kind": "git",
            "source": {"url": forge.url("hello.git"), "ref": "main"},
        },
    )


@pytest.fixture
def bare(platform: Platform, forge: GitServer, forged: Server, door: str, settings: Any) -> Bare:
    for needed in ("openssl", "curl"):
        program(needed)
    hook, secret = services.create(server=forged, by=Actor(platform.owner), fields={"kind": "generic"})
    made = Bare(forge.root, {"HOOK_URL": f"{door}{hook.path}", "HOOK_SECRET": secret})
    for name, content in hello_files().items():
        data = content.encode() if isinstance(content, str) else content
        (made.work.path / name).write_bytes(data)
    return made


def ended(server: Server, count: int) -> Deployment:
    def over() -> Deployment | None:
        newest = server.deployments.order_by("-number").first()
        return newest if newest and newest.number == count and newest.status in FINAL else None

    return eventually(over, within=120, what=f"deployment #{count} ends")


def test_a_push_is_deployed_and_answers(bare: Bare, forged: Server, door: str) -> None:
    bare.work.commit("first")
    first = bare.push()
    deployment = ended(forged, 1)
    assert (deployment.status, deployment.error) == ("succeeded", "")
    assert (deployment.trigger, deployment.build.revision) == ("webhook", first)
    assert "Hello, Ada" in call(door, forged, "greet", name="Ada")[1]

    server = bare.work.path / "server.py"
    server.write_text(server.read_text().replace("Hello, ", "Good day, "))
    bare.work.commit("second")
    second = bare.push()
    assert ended(forged, 2).build.revision == second
    eventually(  # within a second: gateways learn of the new deployment from the database
        lambda: "Good day, Ada" in call(door, forged, "greet", name="Ada")[1],
        what="calls reach the second deployment",
    )

    # Back to the first commit by force: the newest push decides, not the newest commit.
    bare.work.git("reset", "--hard", "--quiet", first)
    bare.push("main", "--force")
    assert ended(forged, 3).build.revision == first
    outcomes = Delivery.objects.order_by("pk").values_list("outcome", "deployment__number")
    assert list(outcomes) == [("accepted", 1), ("accepted", 2), ("accepted", 3)]


def test_other_branches_are_told_and_ignored(bare: Bare, forged: Server) -> None:
    bare.work.commit("first")
    bare.push()
    ended(forged, 1)
    bare.work.git("checkout", "--quiet", "-b", "topic")
    bare.work.commit("aside")
    bare.push("topic")
    bare.push(":topic")
    reasons = Delivery.objects.filter(outcome="ignored").order_by("pk").values_list("reason", flat=True)
    assert list(reasons) == ["topic is not main, which the server is deployed from.", "topic was deleted."]
    assert forged.deployments.count() == 1


def test_a_wrong_secret_is_told_nothing(bare: Bare, forged: Server) -> None:
    services.rotate(hook=WebHook.objects.get(), by=Actor(forged.owner))
    WebHook.objects.update(former=None)
    bare.work.commit("first")
    bare.push()
    assert Delivery.objects.get().outcome == "rejected"
    assert not forged.deployments.exists()
