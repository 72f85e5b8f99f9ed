"""Reads what the pods of a run wrote, each from where one had come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hosting.errors import RuntimeFault
from hosting.runtimes import kube_logs
from hosting.runtimes.base import OutputLine
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kube_logs import NOTHING, Cursors, Mark
from hosting.runtimes.kube_pods import PodState

Read = tuple[list[OutputLine], Mark]


def read(
    cluster: Cluster, pods: Sequence[PodState], cursor: str, *, several: bool
) -> tuple[list[OutputLine], str]:
    """Lines since `cursor`, and the next one; each line names its pod where there are several."""
    known = Cursors.parse(cursor).pods
    parts, reached = [], dict[str, Mark]()
    for pod in pods:
        lines, life, mark = _of_pod(cluster, pod, known, pod.name if several or len(pods) > 1 else "")
        parts.append(lines)
        if pod.life or mark != NOTHING:
            reached[life] = mark
    return kube_logs.merged(parts), str(Cursors(reached)) or cursor


def _of_pod(
    cluster: Cluster, pod: PodState, known: Mapping[str, Mark], named: str
) -> tuple[list[OutputLine], str, Mark]:
    """Of a container that was restarted first all that the one before wrote, be it in several looks."""
    now, before = kube_logs.life(pod.name, pod.life), kube_logs.life(pod.name, pod.life - 1)
    if pod.has_previous and now not in known:
        lines, mark = _log(cluster, pod, known.get(before, NOTHING), named, previous=True)
        if lines:
            return lines, before, mark
    lines, mark = _log(cluster, pod, known.get(now, NOTHING), named)
    return lines, now, mark


def _log(cluster: Cluster, pod: PodState, mark: Mark, named: str, *, previous: bool = False) -> Read:
    """Nothing for a pod whose container was not made yet (400), or that is gone (404); one that ends, with
    whatever it is that refuses, keeps none of the others waiting.
    """
    try:
        return cluster.read(
            cluster.path("Pod", pod.name, "log"),
            kube_logs.query(mark, previous=previous),
            lambda chunks: kube_logs.after(mark, chunks, pod=named),
        )
    except RuntimeFault as fault:
        if pod.is_ending or fault.details.get("status") in (400, 404):
            return [], mark
        raise
