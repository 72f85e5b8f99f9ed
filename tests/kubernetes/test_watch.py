"""Which changes of a cluster concern the runs that somebody watches."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosting.runtimes.base import Handle
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kube_pods import PodState
from hosting.runtimes.kube_watch import Watch
from hosting.runtimes.kubernetes_manifests import LABEL
from tests.eventually import eventually
from tests.hosting.runtimes.test_followed import Logs, logs
from tests.hosting.runtimes.told import Told, threads
from tests.kubernetes.test_client import cluster_at

__all__ = ["logs"]


def handle(number: int) -> Handle:
    data = {"name": f"mcp-{number}", "run": number, "deployment": number}
    return Handle("kubernetes", "http://weather:9000/mcp", data)


def pod(number: int) -> PodState:
    return PodState(f"mcp-{number}-x-y", labels={f"{LABEL}run": str(number)})


@pytest.fixture
def watch() -> Watch:
    return Watch(Cluster("hosted"))  # nothing is asked of it: no pod is known


def test_only_changes_of_watched_runs_are_told(watch: Watch) -> None:
    told = Told()
    watch.replace([handle(42)], None, told)
    watch.pod_changed("mcp-43-x-y", pod(43))
    watch.deployment_changed("mcp-43", None)
    assert told.times == 0
    watch.pod_changed("mcp-42-x-y", pod(42))
    assert told.times == 1
    watch.deployment_changed("mcp-42", None)
    assert told.times == 2
    watch.replace([], None, told)
    watch.pod_changed("mcp-42-x-y", pod(42))
    assert told.times == 2


def test_a_run_that_an_older_version_has_started_is_known_by_its_deployment(watch: Watch) -> None:
    told = Told()
    watch.replace([Handle("kubernetes", "http://x/mcp", {"name": "mcp-7", "deployment": 7})], None, told)
    watch.pod_changed("mcp-7-x-y", PodState("mcp-7-x-y", labels={f"{LABEL}deployment": "7"}))
    assert told.times == 1


def test_a_pod_is_read_once_it_has_written(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.answers_late = True  # as a kubelet does
    watch = Watch(cluster_at(logs.http.server_port, tmp_path, monkeypatch))

    def is_silent() -> bool:
        watch.read([pod(42)], lambda: ([], "end"))
        return not watch.may_have_output(handle(42))

    watch.replace([handle(42)], [pod(42), pod(43)], Told())
    eventually(lambda: is_silent() and logs.asked, what="it is followed")
    [asked] = logs.asked
    assert asked == "api/v1/namespaces/hosted/pods/mcp-42-x-y/log?container=server&follow=true&tailLines=1"
    logs.put(asked, b"line\n")
    eventually(lambda: watch.may_have_output(handle(42)), what="it has written")
    eventually(is_silent, what="it was read")
    watch.replace([handle(42)], None, Told())
    assert watch.may_have_output(handle(42))  # its pods are not known at the moment
    watch.replace([handle(42)], [pod(42)], Told())
    assert is_silent()
    assert logs.asked == [asked]
    watch.replace([], [], Told())
    eventually(lambda: not threads("pod-log"), what="all threads have ended")


def test_a_run_whose_pods_are_not_known_may_have_output(watch: Watch) -> None:
    watch.replace([handle(42)], None, Told())
    assert watch.may_have_output(handle(42))
    assert watch.may_have_output(handle(43))
