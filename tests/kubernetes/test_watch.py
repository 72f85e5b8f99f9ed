"""Which changes of a cluster concern the runs that somebody watches."""

from __future__ import annotations

import pytest

from hosting.runtimes.base import Handle
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kube_pods import PodState
from hosting.runtimes.kube_watch import Watch
from hosting.runtimes.kubernetes_manifests import LABEL
from tests.hosting.runtimes.told import Told


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


def test_a_run_whose_pods_are_not_known_may_have_output(watch: Watch) -> None:
    watch.replace([handle(42)], None, Told())
    assert watch.may_have_output(handle(42))
    assert watch.may_have_output(handle(43))
