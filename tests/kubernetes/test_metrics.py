"""What pods use, by the stand-in of an API server and its metrics."""

from __future__ import annotations

import pytest

from hosting.errors import RuntimeFault
from hosting.runtimes.base import Handle, Stats
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kubernetes import KubernetesRuntime
from hosting.runtimes.kubernetes_manifests import Placement
from tests.kubernetes.test_client import Answer, ApiServer, cluster, server

__all__ = ["cluster", "server"]

WEATHER, CLOCK = "mcp-012345-weather-r42", "mcp-012345-weather-r42-9"


@pytest.fixture
def runtime(cluster: Cluster) -> KubernetesRuntime:
    return KubernetesRuntime(Placement("0123456789ab", "hosted"))


def handle(name: str) -> Handle:
    return Handle("kubernetes", "", {"name": name, "run": 42})


def metrics(*pods: tuple[str, str, str]) -> Answer:
    items = [
        {
            "metadata": {"name": name},
            "containers": [{"name": "server", "usage": {"cpu": cpu, "memory": memory}}],
        }
        for name, cpu, memory in pods
    ]
    unknown = {"metadata": {"name": f"{WEATHER}-7c-new"}, "containers": []}
    return 200, {}, {"items": [*items, unknown]}


def test_one_request_tells_of_all_and_pods_of_one_are_summed(
    server: ApiServer, runtime: KubernetesRuntime
) -> None:
    server.answers = [
        metrics(
            (f"{WEATHER}-7c-a", "100m", "64Mi"),
            (f"{WEATHER}-7c-b", "20m", "32Mi"),
            (f"{CLOCK}-5d-c", "1", "1Gi"),
        )
    ]
    weather, clock, idle = runtime.measure([handle(WEATHER), handle(CLOCK), handle("mcp-012345-idle-r1")])
    assert weather == Stats(cpu=pytest.approx(0.12), memory_bytes=96 << 20, pids=0)
    assert (clock, idle) == (Stats(1.0, 1 << 30, 0), None)
    [(_, path, _)] = server.asked
    assert path.endswith("mcphost/instance%3D0123456789ab")


def test_a_cluster_that_measures_nothing_has_no_metrics(
    server: ApiServer, runtime: KubernetesRuntime
) -> None:
    """It has no metrics-server, or one that is away."""
    away = server.status(503, "the server is currently unable to handle the request", Retry_After="9")
    server.answers = [server.status(404, "not found"), away, away]
    assert runtime.stats(handle(WEATHER)) is None
    assert runtime.stats(handle(WEATHER)) is None
    assert runtime.measure([handle(WEATHER)]) == [None]


def test_a_right_that_lacks_is_told(server: ApiServer, runtime: KubernetesRuntime) -> None:
    server.answers = [server.status(403, "no"), server.status(403, "no")]
    with pytest.raises(RuntimeFault, match="does not allow"):
        runtime.stats(handle(WEATHER))
    assert runtime.measure([handle(WEATHER)]) == [None]
