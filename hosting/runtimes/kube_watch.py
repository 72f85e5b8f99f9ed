"""What a cluster tells of runs that somebody watches: that they have changed, and that they have written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from urllib3.response import BaseHTTPResponse

from hosting.runtimes import kube_pods
from hosting.runtimes.base import Handle, OutputLine
from hosting.runtimes.followed import Followed
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kube_pods import CONTAINER, PodState
from hosting.runtimes.kubernetes_manifests import key_of, key_of_labels


@dataclass(frozen=True)
class _Asked:
    """`keys` are those of the runs, `names` those of their Deployments."""

    keys: frozenset[str]
    names: frozenset[str]
    changed: Callable[[], None]


class Watch:
    """Stands between the mirrors, which see every change, and whoever watches some runs. Thread-safe."""

    def __init__(self, cluster: Cluster) -> None:
        self._logs = Followed("pod-log", partial(_log, cluster))
        self._asked = _Asked(frozenset(), frozenset(), lambda: None)
        self._pods: Mapping[
            str, Sequence[str]
        ] = {}  # the names of those that are followed, by the key of the run

    def replace(
        self, handles: Sequence[Handle], pods: Collection[PodState] | None, changed: Callable[[], None]
    ) -> None:
        """Watches these runs from now on, and no others. `pods` are all that there are; None: not known now.

        A pod that comes later is a change. So whoever watches calls this again, and its log is followed too.
        """
        keys = frozenset(key_of(handle.data) for handle in handles)
        self._asked = _Asked(keys, frozenset(str(handle.data["name"]) for handle in handles), changed)
        found = by_run(pods or ())
        self._pods = {key: _names(kube_pods.readable(found[key])) for key in keys if key in found}
        if pods is not None or not handles:
            self._logs.follow([name for names in self._pods.values() for name in names])

    def pod_changed(self, name: str, pod: PodState) -> None:
        """For the mirror of pods."""
        if key_of_labels(pod.labels) in self._asked.keys:
            self._asked.changed()

    def deployment_changed(self, name: str, found: object) -> None:
        """For the mirror of Deployments."""
        if name in self._asked.names:
            self._asked.changed()

    def may_have_output(self, handle: Handle) -> bool:
        pods = self._pods.get(key_of(handle.data))
        return not pods or any(self._logs.may_have_more(pod) for pod in pods)

    def read(
        self, pods: Sequence[PodState], look: Callable[[], tuple[Sequence[OutputLine], str]]
    ) -> tuple[Sequence[OutputLine], str]:
        """What `look` returns for the logs of these pods."""
        return self._logs.read(_names(pods), look)


def by_run(pods: Iterable[PodState]) -> dict[str, list[PodState]]:
    """The pods by the keys of their runs."""
    found: dict[str, list[PodState]] = {}
    for pod in pods:
        found.setdefault(key_of_labels(pod.labels), []).append(pod)
    return found


def _names(pods: Sequence[PodState]) -> list[str]:
    return [pod.name for pod in pods]


def _log(cluster: Cluster, pod: str) -> BaseHTTPResponse:
    """The last line of the log, and then each new one. A kubelet answers with the first of them."""
    query = {"container": CONTAINER, "follow": "true", "tailLines": "1"}
    return cluster.follow(cluster.path("Pod", pod, "log"), query)
