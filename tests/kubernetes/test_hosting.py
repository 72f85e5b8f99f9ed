"""Servers on a real cluster: built, pushed, published, started, called, and told about when they fail."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import requests

from access.actor import PLATFORM, Actor
from deploy.bench.base_images import own_architecture
from servers import services
from servers.deploying import runs, runtimes
from servers.models import LogLine, Run, Server
from servers.states import DeploymentStatus, Mode, ServerStatus
from tests.accounts import api
from tests.e2e.conftest import door
from tests.e2e.hosting import call
from tests.eventually import eventually
from tests.kubernetes.hosted import GRANTS, KubernetesPlatform, hosted, on_kubernetes, platform, quick

__all__ = ["api", "door", "hosted", "on_kubernetes", "platform", "quick"]
pytestmark = [pytest.mark.kubernetes, pytest.mark.real]

HERE = f"linux/{own_architecture()}"


class Legacy:
    """A client of the era with sessions, at the gateway."""

    def __init__(self, door: str, server: Server) -> None:
        _, token = services.issue_token(owner=server.owner, name="test", server=server, by=PLATFORM)
        self._url = f"{door}/mcp/{server.slug}"
        self.headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}

    def initialize(self) -> str:
        """The session's id."""
        client = {"name": "test", "version": "1"}
        answer = self.post("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client)
        assert answer.status_code == 200, answer.text
        return answer.headers["mcp-session-id"]

    def post(self, method: str, session: str = "", **params: Any) -> requests.Response:
        named = {"mcp-session-id": session, "mcp-protocol-version": "2025-11-25"} if session else {}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return requests.post(self._url, json=body, headers={**self.headers, **named}, timeout=60)

    def greets(self, session: str) -> int:
        answer = self.post("tools/call", session, name="greet", arguments={"name": "Ada"})
        assert answer.status_code != 200 or "Hello, Ada!" in answer.text
        return answer.status_code


def on_all_pods(client: Legacy, pods: int) -> list[str]:
    """Sessions, as many as it takes until each pod holds some: which gets a new one is chance."""
    sessions: list[str] = []

    def are_on_all() -> bool:
        sessions.append(client.initialize())
        return len({replica_of(session) for session in sessions}) == pods

    eventually(are_on_all, within=120, what=f"there are sessions on {pods} pods")
    return sessions


def replica_of(session: str) -> str:
    """What is sealed can be read (`gateway.sessions`): its last word but one is the pod."""
    return str(json.loads(base64.urlsafe_b64decode(session)[16:])[-2])


def test_calls_go_through_the_gateway_and_sessions_stay_with_their_pod(
    hosted: KubernetesPlatform, door: str
) -> None:
    server = hosted.healthy()
    server.placement = {"replicas": 2}
    server.save()
    hosted.serves(server, hosted.deploy(server, within=180))
    tools, text = call(door, server, "greet", name="Ada")
    assert ("greet" in tools, text) == (True, "Hello, Ada!")

    eventually(
        lambda: len(Run.objects.get(deployment__server=server).endpoints) == 2,
        within=120,
        what="both are known",
    )
    client = Legacy(door, server)
    sessions = on_all_pods(client, 2)
    for session in sessions * 3:
        assert client.greets(session) == 200

    [one, _] = hosted.pods(server)
    hosted.cluster.core.delete_namespaced_pod(
        one["metadata"]["name"], hosted.cluster.namespace, grace_period_seconds=0
    )

    def told() -> bool:
        return {client.greets(session) for session in sessions} == {200, 404}

    eventually(told, within=120, what="sessions of the pod that is gone are lost, and no others")
    assert client.greets(client.initialize()) == 200
    pods = {line.text.split("]")[0] for line in LogLine.objects.filter(server=server, stream="stdout")}
    assert all(pod.startswith("[mcp-") for pod in pods)


def test_a_server_is_published_for_each_platform_and_runs_by_the_indexs_digest(
    hosted: KubernetesPlatform, settings: Any
) -> None:
    settings.REGISTRY_ARCH_TARGETS = ["linux/amd64", "linux/arm64"]
    server = hosted.healthy()
    deployment = hosted.deploy(server, within=180)
    hosted.serves(server, deployment)
    assert deployment.build.runtime == "kubernetes"
    assert deployment.build.image.endswith(f"@{deployment.build.digest}")
    assert deployment.build.digest not in {image["digest"] for image in deployment.build.images.values()}
    [pod] = hosted.pods(server)
    assert pod["spec"]["containers"][0]["image"] == deployment.build.image
    assert {tool["name"] for tool in deployment.discovery["tools"]} == {"greet", "add", "now", "count"}
    assert (
        runs.runtime_of(deployment.run).stats(runs.handle_of(deployment.run)) is None
    )  # no metrics-server here

    services.stop(server=server, by=PLATFORM)
    hosted.becomes(server, ServerStatus.STOPPED, within=120)
    eventually(lambda: not hosted.pods(server), within=120, what="its pods are gone")


@pytest.mark.parametrize(
    ("lines", "fields", "says"),
    [
        (('CMD ["sh", "-c", "echo no such file; exit 3"]',), {}, ["exited with code 3", "no such file"]),
        (('CMD ["tail", "/dev/zero"]',), {"memory_mb": 32}, ["ran out of memory", "Raise its memory limit"]),
        (('CMD ["/bin/absent"]',), {}, ["cannot be", "/bin/absent"]),
        (('CMD ["sleep", "60"]',), {"cpu": 64}, ["No node takes the server", "Insufficient cpu"]),
    ],
)
def test_why_it_does_not_start(
    hosted: KubernetesPlatform, lines: tuple[str, ...], fields: dict[str, Any], says: list[str]
) -> None:
    server = hosted.listening("faulty", *lines, **fields)
    reason = hosted.failed(server, hosted.deploy(server, within=120), "runtime")
    for words in says:
        assert words in reason
    eventually(lambda: not hosted.pods(server), within=120, what="what it made is removed")


def test_a_failed_rollout_leaves_the_old_one_serving(hosted: KubernetesPlatform) -> None:
    server = hosted.healthy()
    first = hosted.deploy(server, within=180)
    hosted.serves(server, first)
    [old] = hosted.pods(server)
    hosted.upload(server, {**hosted.healthy_files(), "server.py": "raise SystemExit('boom')"})
    second = hosted.deploy(server, within=120)
    assert second.status == DeploymentStatus.FAILED
    assert "boom" in second.error
    assert hosted.fresh(server).serving == first
    eventually(
        lambda: [pod["metadata"]["name"] for pod in hosted.pods(server)] == [old["metadata"]["name"]],
        what="only the old pod is there, as it was",
    )
    back = hosted.ended(services.roll_back(server=server, to=first, by=Actor(hosted.owner)), within=120)
    hosted.serves(server, back)


def test_a_quota_and_a_lacking_right_are_named(hosted: KubernetesPlatform) -> None:
    server = hosted.healthy()
    quota: Any = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "0"}}}
    hosted.cluster.core.create_namespaced_resource_quota(hosted.cluster.namespace, quota)
    eventually(
        lambda: (
            hosted.cluster.core.read_namespaced_resource_quota("small", hosted.cluster.namespace).status.hard
        ),
        what="the quota is in force",
    )
    refused = hosted.deploy(server, within=180)
    assert "The namespace's quota is used up" in hosted.failed(server, refused, "runtime")
    hosted.cluster.core.delete_namespaced_resource_quota("small", hosted.cluster.namespace)

    binding = hosted.cluster.rights.read_namespaced_role_binding("mcphost", hosted.cluster.namespace)
    hosted.cluster.rights.delete_namespaced_role_binding("mcphost", hosted.cluster.namespace)
    eventually(lambda: not hosted.cluster.may("mcphost", *GRANTS["role.yaml"]), what="the right is taken")
    forbidden = hosted.deploy(server, Mode.RESUME, within=120)
    reason = hosted.failed(server, forbidden, "runtime")
    assert "deploy/kubernetes/role.yaml" in reason
    binding.metadata.resource_version = None
    hosted.cluster.rights.create_namespaced_role_binding(hosted.cluster.namespace, binding)
    eventually(lambda: hosted.cluster.may("mcphost", *GRANTS["role.yaml"]), what="the right is there again")
    resumed = hosted.deploy(server, Mode.RESUME, within=120)
    hosted.serves(server, resumed)


def test_a_pod_that_is_killed_comes_back_and_a_deployment_that_is_deleted_too(
    hosted: KubernetesPlatform,
) -> None:
    server = hosted.healthy()
    deployment = hosted.deploy(server, within=180)
    hosted.serves(server, deployment)
    [pod] = hosted.pods(server)
    hosted.cluster.core.delete_namespaced_pod(
        pod["metadata"]["name"], hosted.cluster.namespace, grace_period_seconds=0
    )
    eventually(
        lambda: [p for p in hosted.pods(server) if p["metadata"]["uid"] != pod["metadata"]["uid"]],
        what="the cluster makes another",
    )
    first = Run.objects.get(deployment=deployment)
    hosted.cluster.apps.delete_namespaced_deployment(
        first.handle["data"]["name"],
        hosted.cluster.namespace,  # type: ignore[index]
    )
    again = eventually(
        lambda: deployment.runs.filter(ready_at__isnull=False).exclude(pk=first.pk).first(),
        within=120,
        what="the reconciler starts it again",
    )
    hosted.becomes(server, ServerStatus.RUNNING)
    assert again.handle["data"]["name"] != first.handle["data"]["name"]  # type: ignore[index]
    assert hosted.fresh(server).serving == deployment


def test_a_volume_outlives_deployments_and_goes_with_the_server(
    hosted: KubernetesPlatform, tmp_path: Path
) -> None:
    held = tmp_path / "volume"
    volume = hosted.cluster.volume("bench", held)
    server = hosted.healthy()
    server.placement = {"volume": {"size_mb": 16, "path": "/data", "storage_class": "bench"}}
    server.save()
    first = hosted.deploy(server, within=180)
    hosted.serves(server, first)
    (held / "note").write_text("kept")
    hosted.serves(server, hosted.deploy(server, Mode.SAME_DIGEST, within=120))
    [claim] = [name for name in hosted.cluster.objects() if name.startswith("PersistentVolumeClaim/")]
    assert (held / "note").read_text() == "kept"

    services.delete(server=server, by=PLATFORM)
    eventually(lambda: claim not in hosted.cluster.objects(), within=120, what="the claim is deleted")
    hosted.cluster.core.delete_persistent_volume(volume)


def test_the_start_says_what_it_found(hosted: KubernetesPlatform) -> None:
    found = runtimes.runtime("kubernetes").capability()
    assert found.found, found
    assert hosted.cluster.namespace in found.detail
