"""What is done around the start of a deployment on Kubernetes, on the stand-in of an API server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from hosting.deadline import Deadline
from hosting.errors import RuntimeFault
from hosting.runtimes.base import Handle
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kubernetes import KubernetesRuntime
from hosting.runtimes.kubernetes_manifests import Placement
from metrics.models import UsageMetric
from servers.deploying import runs, starting
from servers.deploying.starting import Start
from servers.logbook import Logbook
from servers.models import LogLine
from servers.timeline import Timeline
from tests.accounts import make_deployment, make_server, owner
from tests.kubernetes.test_client import FOUND, Answer, ApiServer, cluster, server
from tests.kubernetes.test_manifests import IMAGE, spec
from tests.platform import forget_adapters

__all__ = ["cluster", "owner", "server"]

AUTHS = {"registry.example": {"auth": "Y2k6b25l"}}
VERSION: Answer = (200, {}, {"major": "1", "minor": "30"})
RUNS = {
    "metadata": {"name": "w-1"},
    "status": {"containerStatuses": [{"name": "server", "state": {"running": {}}}]},
}
STARTS = [VERSION, *[FOUND] * 4, (200, {}, {"items": [RUNS], "metadata": {"resourceVersion": "5"}})]


@pytest.fixture
def start(owner: User, cluster: Cluster, settings: Any, tmp_path: Path) -> Iterator[Start]:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": AUTHS}))
    settings.REGISTRY, settings.REGISTRY_AUTH_DOCKERCONFIG = "registry.example/team", config
    settings.K8S_REGISTRY_SECRET_NAME, settings.K8S_NAMESPACE = "mcphost-pull", "hosted"
    settings.K8S_REACH = "service"
    forget_adapters()
    deployment = make_deployment(
        make_server(owner), runtime="kubernetes", image=IMAGE, images={"linux/amd64": {"digest": "sha256:1"}}
    )
    logbook = Logbook(deployment.server_id, deployment.pk)
    yield Start(runs.begin(deployment), Timeline(deployment, logbook), Deadline.of(60))
    forget_adapters()


def secret(content: Any, kind: str = "kubernetes.io/dockerconfigjson") -> Answer:
    data = {".dockerconfigjson": base64.b64encode(json.dumps(content).encode()).decode()}
    about = {"name": "mcphost-pull", "resourceVersion": "7"}
    return 200, {}, {"kind": "Secret", "metadata": about, "type": kind, "data": data}


def told(start: Start) -> dict[str, Any]:
    found = UsageMetric.objects.filter(deployment=start.deployment, event_type__startswith="pull_secret")
    return dict(found.values_list("event_type", "details"))


def asked(server: ApiServer) -> list[tuple[str, str]]:
    return [(method, path.partition("?")[0].rpartition("/")[2]) for method, path, _ in server.asked]


def test_the_pull_secret_is_made_before_the_first_pod(server: ApiServer, start: Start) -> None:
    """No credential was refreshed: it is good."""
    server.answers = [server.status(404, "not found"), FOUND, *STARTS]
    handle = starting.start(start)
    assert handle.data["run"] == start.run.pk
    assert handle.data["deployment"] == start.deployment.pk, "the version before goes by that"
    assert asked(server)[:3] == [("GET", "mcphost-pull"), ("POST", "secrets"), ("GET", "version")]
    assert told(start)["pull_secret_patched"].items() >= {"secret": "mcphost-pull", "changed": True}.items()


def test_what_an_operator_renewed_in_the_file_reaches_the_nodes(server: ApiServer, start: Start) -> None:
    server.answers = [secret({"auths": {"registry.example": {"auth": "b2xk"}}}), FOUND, *STARTS]
    starting.start(start)
    assert asked(server)[:2] == [("GET", "mcphost-pull"), ("PATCH", "mcphost-pull")]


def test_a_pull_secret_that_is_right_costs_one_look_and_is_not_told(server: ApiServer, start: Start) -> None:
    server.answers = [secret({"auths": AUTHS}), *STARTS]
    starting.start(start)
    assert server.answers == []
    assert told(start) == {}


def test_a_pull_secret_that_cannot_be_written_fails_no_start_and_shows(
    server: ApiServer, start: Start
) -> None:
    server.answers = [secret({}, kind="Opaque"), *STARTS]
    starting.start(start)
    start.timeline.logbook.flush()
    assert "of type Opaque" in told(start)["pull_secret_failed"]["error"]
    lines = LogLine.objects.filter(deployment=start.deployment).values_list("text", flat=True)
    assert any("The pull secret was not renewed: " in line for line in lines)


def test_a_start_beside_us_touches_no_cluster(server: ApiServer, start: Start) -> None:
    start.run.runtime, start.build.image = "process", ""
    with pytest.raises(RuntimeFault):  # it has no environment
        starting.start(start)
    assert server.asked == []


# --- What the cluster said, beside the reason

NAME = "mcp-012345-weather-r42"
POD = f"{NAME}-7c-x"
EVENTS: Answer = (
    200,
    {},
    {
        "metadata": {"resourceVersion": "6"},
        "items": [
            {
                "involvedObject": {"name": pod},
                "lastTimestamp": f"2026-11-22T17:05:{second}Z",
                "reason": "BackOff",
                "message": message,
            }
            for pod, second, message in (
                (POD, 31, "an older one"),
                (POD, 32, "Back-off restarting failed container"),
                (f"{NAME}-9-7c-x", 33, "another server's"),
            )
        ],
    },
)
CRASHED = {"exitCode": 3, "reason": "Error", "message": "out of cheese"}
STATE = {"waiting": {"reason": "CrashLoopBackOff"}}
CONTAINER = {"name": "server", "restartCount": 2, "state": STATE, "lastState": {"terminated": CRASHED}}
CRASHES: Answer = (
    200,
    {},
    {
        "metadata": {"resourceVersion": "5"},
        "items": [{"metadata": {"name": POD}, "status": {"containerStatuses": [CONTAINER]}}],
    },
)
STOPPED = [FOUND] * 9  # one for each kind of object that a run may have
SAID = "The cluster says: BackOff: Back-off restarting failed container"


def test_the_newest_warning_of_its_own_pods_is_told_when_a_start_fails(
    server: ApiServer, cluster: Cluster
) -> None:
    lines: list[str] = []
    server.answers = [VERSION, *[FOUND] * 4, CRASHES, EVENTS, *STOPPED]
    with pytest.raises(RuntimeFault, match="out of cheese") as failed:
        KubernetesRuntime(Placement("0123456789ab", "hosted")).start(
            spec(), deadline=Deadline.of(60), log=lines.append
        )
    assert lines[-1] == SAID
    assert "The cluster says" not in str(failed.value)
    assert server.answers == []


def test_events_that_cannot_be_read_change_no_reason(server: ApiServer, cluster: Cluster) -> None:
    server.answers = [VERSION, *[FOUND] * 4, CRASHES, server.status(403, "no"), *STOPPED]
    with pytest.raises(RuntimeFault, match="out of cheese"):
        KubernetesRuntime(Placement("0123456789ab", "hosted")).start(
            spec(), deadline=Deadline.of(60), log=lambda line: None
        )
    assert server.answers == []


def test_so_it_is_when_a_server_never_answers(server: ApiServer, start: Start) -> None:
    handle = Handle("kubernetes", "http://127.0.0.1:9/mcp", {"name": NAME, "run": 42})
    assert runs.save(start.run, handle)
    collected = [CRASHES, server.status(404, "no log")]
    server.answers = [FOUND, CRASHES, EVENTS, *collected * 3]  # a restart is noted, then twice nothing
    with pytest.raises(RuntimeFault, match="out of cheese"):
        starting.check_health(start, handle)
    start.timeline.logbook.flush()
    assert SAID in LogLine.objects.filter(deployment=start.deployment).values_list("text", flat=True)
    assert server.answers == []
