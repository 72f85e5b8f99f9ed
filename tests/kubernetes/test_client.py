"""What a busy, restarting or forgetful API server does, by a stand-in that does it on request."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from hosting.deadline import Deadline
from hosting.errors import RuntimeFault
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kube_faults import Clash, Gone, Unreachable
from hosting.runtimes.kubernetes import KubernetesRuntime
from hosting.runtimes.kubernetes_manifests import Placement
from tests.kubernetes.test_manifests import spec

Answer = tuple[int, dict[str, str], Any]
FOUND: Answer = (200, {}, {"kind": "Secret"})
LONGER_THAN_SENT = {"Content-Length": "5334"}


class ApiServer:
    """Answers with what `answers` holds, in turn: objects, or text (bytes); None breaks the connection.

    What is asked beyond them is refused: a broken connection would be waited for.
    """

    def __init__(self) -> None:
        self.answers: list[Answer | None] = []
        self.asked: list[tuple[str, str, Message]] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def status(self, code: int, message: str, **headers: str) -> Answer:
        return code, headers, {"kind": "Status", "code": code, "message": message}


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def _reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.asked.append((self.command, self.path, self.headers))
            try:
                answer = server.answers.pop(0)
            except IndexError:
                answer = server.status(400, "nothing to say")
            if answer is None:
                self.connection.close()
                return
            code, headers, document = answer
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            text = document if isinstance(document, bytes) else json.dumps(document).encode() + b"\n"
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = _reply

    return Handler


@pytest.fixture
def server() -> Iterator[ApiServer]:
    made = ApiServer()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return cluster_at(server.http.server_port, tmp_path, monkeypatch)


def cluster_at(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "bearer-of-news"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(path))
    return Cluster("hosted")


def test_throttling_is_waited_for(server: ApiServer, cluster: Cluster) -> None:
    server.answers = [server.status(429, "slow down", Retry_After="0"), FOUND]
    assert cluster.get("v1", "Secret", "pull") == {"kind": "Secret"}
    assert len(server.asked) == 2


def test_an_answer_that_does_not_end_is_asked_for_once(server: ApiServer, cluster: Cluster) -> None:
    server.answers = [(200, {}, b"one\ntwo\n"), server.status(503, "starting"), FOUND]
    path = cluster.path("Pod", "weather", "log")
    answer = cluster.follow(path, {"follow": "true"})
    assert b"".join(answer.stream(4)) == b"one\ntwo\n"
    answer.close()
    with pytest.raises(RuntimeFault):
        cluster.follow(path, {"follow": "true"})
    assert [asked for _, asked, _ in server.asked] == [f"{path}?follow=true"] * 2


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_restart_is_waited_for(server: ApiServer, cluster: Cluster, code: int) -> None:
    server.answers = [None, server.status(code, "starting"), FOUND]
    assert cluster.get("v1", "Secret", "pull") == {"kind": "Secret"}


@pytest.mark.parametrize("code", [200, 503])
def test_an_answer_that_breaks_off_in_the_middle_is_asked_for_again(
    server: ApiServer, cluster: Cluster, code: int
) -> None:
    server.answers = [(code, LONGER_THAN_SENT, {"kind": "Half"}), FOUND]
    assert cluster.get("v1", "Secret", "pull") == {"kind": "Secret"}
    assert len(server.asked) == 2


@pytest.mark.parametrize("code", [200, 403])
def test_an_answer_that_breaks_off_for_good_is_none(server: ApiServer, cluster: Cluster, code: int) -> None:
    server.answers = [(code, LONGER_THAN_SENT, {"kind": "Half"})]
    with pytest.raises(Unreachable):
        Cluster("hosted", patience=0).get("v1", "Secret", "pull")


def test_an_admission_that_is_not_ready_is_waited_for(server: ApiServer, cluster: Cluster) -> None:
    said = "pods is forbidden: not yet ready to handle request"
    server.answers = [server.status(403, said), FOUND]
    assert cluster.get("v1", "Secret", "pull") == {"kind": "Secret"}


@pytest.mark.parametrize("code", [401, 403])
def test_a_refusal_right_after_a_restart_is_asked_about_again(
    server: ApiServer, cluster: Cluster, code: int
) -> None:
    server.answers = [None, server.status(code, "forbidden: RBAC is not loaded yet"), FOUND]
    assert cluster.get("v1", "Secret", "pull") == {"kind": "Secret"}
    assert len(server.asked) == 3


def test_patience_ends(server: ApiServer, cluster: Cluster) -> None:
    hasty = Cluster("hosted", patience=0)
    server.answers = [server.status(429, "slow down", Retry_After="1")]
    with pytest.raises(RuntimeFault, match="asks for patience"):
        hasty.get("v1", "Secret", "pull")
    server.answers = [None]
    with pytest.raises(Unreachable):
        hasty.get("v1", "Secret", "pull")


def test_the_log_of_a_lost_node_keeps_nobody_waiting(server: ApiServer, cluster: Cluster) -> None:
    server.answers = [server.status(500, "Get https://10.0.0.7:10250/: dial tcp: connection refused"), FOUND]
    with pytest.raises(RuntimeFault, match="dial tcp"):
        cluster.read(cluster.path("Pod", "web-1", "log"), {}, list)
    assert len(server.asked) == 1


def test_a_refusal_is_not_asked_for_twice(server: ApiServer, cluster: Cluster) -> None:
    server.answers = [server.status(403, "no")]
    with pytest.raises(RuntimeFault, match="does not allow"):
        cluster.get("v1", "Secret", "pull")
    assert len(server.asked) == 1


def test_a_conflict_is_told_apart(server: ApiServer, cluster: Cluster) -> None:
    server.answers = [server.status(409, "the object has been modified")]
    with pytest.raises(Clash):
        cluster.merge("v1", "Secret", "pull", {})


def test_what_a_watch_has_forgotten_is_told_apart(server: ApiServer, cluster: Cluster) -> None:
    server.answers = [(200, {}, {"type": "ERROR", "object": {"code": 410, "message": "too old"}})]
    with pytest.raises(Gone):
        list(cluster.watch("v1", "Pod", "a=b", "1", 1))
    server.answers = [server.status(410, "too old")]
    with pytest.raises(Gone):
        list(cluster.watch("v1", "Pod", "a=b", "1", 1))


def test_an_apply_is_ours_and_carries_the_token(server: ApiServer, cluster: Cluster) -> None:
    server.answers = [FOUND]
    cluster.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}})
    [(method, path, headers)] = server.asked
    assert (method, path) == (
        "PATCH",
        "/apis/apps/v1/namespaces/hosted/deployments/web?fieldManager=mcphost&force=true",
    )
    assert headers["Authorization"] == "Bearer bearer-of-news"
    assert headers["Content-Type"] == "application/apply-patch+yaml"


def test_what_is_gone_already_is_deleted(server: ApiServer, cluster: Cluster) -> None:
    server.answers = [server.status(404, "not found")]
    cluster.delete("apps/v1", "Deployment", "web")


def test_a_conflict_of_the_moment_keeps_no_apply_back(server: ApiServer, cluster: Cluster) -> None:
    said = 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified'
    server.answers = [server.status(409, said), FOUND]
    cluster.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}})
    assert len(server.asked) == 2


def test_a_kubeconfig_that_was_renewed_is_taken_up(server: ApiServer, cluster: Cluster) -> None:
    server.answers = [FOUND, FOUND]
    cluster.get("v1", "Secret", "pull")
    path = Path(os.environ["KUBECONFIG"])
    path.write_text(path.read_text().replace("bearer-of-news", "bearer-of-more"))
    cluster.get("v1", "Secret", "pull")
    assert [headers["Authorization"] for _, _, headers in server.asked] == [
        "Bearer bearer-of-news",
        "Bearer bearer-of-more",
    ]
    assert cluster.authorization() == {"authorization": "Bearer bearer-of-more"}


def test_what_a_node_tries_again_by_itself_ends_no_start(server: ApiServer, cluster: Cluster) -> None:
    """A kubelet takes its time after a restart of the API server."""

    def event(kind: str, state: Any) -> Answer:
        about = {"name": "w-1", "resourceVersion": "6"}
        pod = {"metadata": about, "status": {"containerStatuses": [{"name": "server", "state": state}]}}
        return 200, {}, {"type": kind, "object": pod}

    said = "failed to sync secret cache: timed out waiting for the condition"
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": said}}
    no_pods = {"items": [], "metadata": {"resourceVersion": "5"}}
    looks: list[Answer] = [(200, {}, no_pods), (200, {}, {"status": {}}), event("ADDED", waiting)]
    applied = [(200, {}, {"major": "1", "minor": "30"}), *[FOUND] * 4]
    server.answers = [*applied, *looks, event("MODIFIED", {"running": {}})]
    told: list[str] = []
    runtime = KubernetesRuntime(Placement("0123456789ab", "hosted"), patience=-1)
    assert runtime.start(spec(), deadline=Deadline.of(60), log=told.append)
    assert said in told[-1]


def test_a_watch_that_breaks_off_ends_no_start(server: ApiServer, cluster: Cluster) -> None:
    no_pods = {"items": [], "metadata": {"resourceVersion": "5"}}
    state = {"name": "server", "ready": True, "state": {"running": {}}}
    pod = {"metadata": {"name": "w-1"}, "status": {"containerStatuses": [state]}}
    started = {**no_pods, "items": [pod]}
    error = {"type": "ERROR", "object": {"code": 500, "message": "etcdserver: leader changed"}}
    applied = [FOUND] * 4
    answers: list[Any] = [{"major": "1", "minor": "30"}, no_pods, {"status": {}}, error, started]
    version, *rest = [(200, {}, answer) for answer in answers]
    server.answers = [version, *applied, *rest]
    runtime = KubernetesRuntime(Placement("0123456789ab", "hosted"))
    handle = runtime.start(spec(), deadline=Deadline.of(60), log=lambda line: None)
    assert handle.data["name"] == "mcp-012345-weather-r42"
    assert server.answers == []


def pod_events(*told: tuple[str, str]) -> Answer:
    """Warnings of a pull that failed: pod, and when."""
    said = "Failed to pull image: 401 Unauthorized"
    items = [
        {"involvedObject": {"name": pod}, "lastTimestamp": at, "reason": "Failed", "message": said}
        for pod, at in told
    ]
    return 200, {}, {"items": items, "metadata": {"resourceVersion": "6"}}


def test_events_of_a_server_of_a_longer_name_are_not_taken_for_ones_own(
    server: ApiServer, cluster: Cluster
) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    held = {"metadata": {"name": "mcp-012345-weather-r42-7c-x"}}
    waits = {**held, "status": {"containerStatuses": [{"name": "server", "state": waiting}]}}
    runs = {**held, "status": {"containerStatuses": [{"name": "server", "state": {"running": {}}}]}}
    runs["metadata"] = {**held["metadata"], "resourceVersion": "7"}  # type: ignore[dict-item]
    listed = {"items": [waits], "metadata": {"resourceVersion": "5"}}
    server.answers = [
        (200, {}, {"major": "1", "minor": "30"}),
        *[FOUND] * 4,
        (200, {}, listed),
        pod_events(("mcp-012345-weather-r42-9-6d-y", "2026-11-22T17:05:32Z")),
        (200, {}, {"type": "MODIFIED", "object": runs}),
    ]
    runtime = KubernetesRuntime(Placement("0123456789ab", "hosted"))
    runtime.start(spec(), deadline=Deadline.of(60), log=lambda line: None)
    assert server.answers == []
