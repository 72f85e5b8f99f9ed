"""Reads the output of all pods of a run, each from the position that was reached before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hosting.errors import RuntimeFault
from hosting.runtimes import kube_logs
from hosting.runtimes.base import OutputLine
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kube_logs import NOTHING, Cursors, Piece, Position
from hosting.runtimes.kube_pods import PodState


def read(
    cluster: Cluster, pods: Sequence[PodState], cursor: str, *, several: bool
) -> tuple[list[OutputLine], str]:
    """The lines since `cursor`, ordered by time, and the next cursor.

    Each line names its pod where the run may have `several` or where more than one is given.
    """
    known = Cursors.parse(cursor).pods
    parts, reached = [], dict[str, Position]()
    for pod in pods:
        lines, key, position = _of_pod(cluster, pod, known, pod.name if several or len(pods) > 1 else "")
        parts.append(lines)
        if pod.restarts or position != NOTHING:
            reached[key] = position
    return kube_logs.merged(parts), str(Cursors(reached)) or cursor


def _of_pod(
    cluster: Cluster, pod: PodState, known: Mapping[str, Position], named: str
) -> tuple[list[OutputLine], str, Position]:
    """The next lines of a pod. After a restart, the rest of the previous container's log comes first."""
    now, before = kube_logs.key(pod.name, pod.restarts), kube_logs.key(pod.name, pod.restarts - 1)
    if pod.has_previous and now not in known:
        rest = _log(cluster, pod, known.get(before, NOTHING), named, previous=True)
        if rest and rest.lines:
            return rest.lines, before, rest.position
    reached = known.get(now, NOTHING)
    found = _log(cluster, pod, reached, named)
    if found is None or (found.lines and not found.marked and _is_of_the_next(cluster, pod, reached, found)):
        return [], now, reached
    return found.lines, now, found.position


def _is_of_the_next(cluster: Cluster, pod: PodState, reached: Position, found: Piece) -> bool:
    """Whether the container has restarted since `pod` was seen: then what was found is read again, as the
    log of the next one, and the rest of this one before it.

    A node begins the new log before the API server hears of the restart. The log from before is asked then,
    and only where the marked line was not in the newest: it is in that one. If none was read yet, the log
    from before is another one, unless the container still waits for its restart.
    """
    if pod.is_ending or (reached == NOTHING and pod.restarts):
        return False
    before = _log(cluster, pod, reached, "", previous=True)
    if before is None:
        return False
    if reached != NOTHING:
        return before.marked
    return not before.lines or before.lines[0].at != found.lines[0].at


def _log(
    cluster: Cluster, pod: PodState, position: Position, named: str, *, previous: bool = False
) -> Piece | None:
    """The next lines of one container. There are none before it is created (400) and after its pod is gone
    (404). For a pod that is ending, every fault is ignored, so that it does not hold up the other pods.
    """
    try:
        return cluster.read(
            cluster.path("Pod", pod.name, "log"),
            kube_logs.query(position, previous=previous),
            lambda chunks: kube_logs.after(position, chunks, pod=named),
        )
    except RuntimeFault as fault:
        if pod.is_ending or fault.details.get("status") in (400, 404):
            return None
        raise
