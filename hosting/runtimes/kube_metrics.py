"""What pods use, as metrics-server reports it (API metrics.k8s.io/v1beta1)."""

from __future__ import annotations

from typing import Any

from hosting.errors import RuntimeFault
from hosting.runtimes.base import Stats
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kube_pods import deployment_of, quantity

_ABSENT = (404, 503)  # the cluster has no metrics-server, or it is down


def used(cluster: Cluster, selector: str) -> dict[str, Stats]:
    """What the pods that match use, summed by the name of their Deployment.

    A Deployment that was not measured yet is missing; the result is {} without a metrics-server.
    """
    found: dict[str, Stats] = {}
    for pod in _measured(cluster, selector):
        name, its = deployment_of(pod["metadata"]["name"]), _sum(pod["containers"])
        before = found.get(name, Stats(0.0, 0, 0))
        found[name] = Stats(before.cpu + its.cpu, before.memory_bytes + its.memory_bytes, 0)
    return found


def _measured(cluster: Cluster, selector: str) -> list[dict[str, Any]]:
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{cluster.namespace}/pods"
    try:
        found = cluster.request("GET", path, query={"labelSelector": selector})
    except RuntimeFault as fault:
        if fault.details.get("status") in _ABSENT:
            return []
        raise
    return [pod for pod in found["items"] if pod["containers"]]


def _sum(containers: list[dict[str, Any]]) -> Stats:
    used = [container["usage"] for container in containers]
    cpu = sum(quantity(each["cpu"]) for each in used)
    return Stats(cpu, int(sum(quantity(each["memory"]) for each in used)), 0)
