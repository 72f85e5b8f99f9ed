"""Interprets the status of pods and Deployments (core/v1, apps/v1). Pure functions on API objects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hosting.errors import RuntimeFault
from hosting.last_words import last_words
from hosting.runtimes.exit_words import EXITED, describe_exit
from hosting.runtimes.kube_faults import brief, from_status
from registry.reasons import PATTERNS, Reason, reason_in

Json = dict[str, Any]

CONTAINER = "server"
LINGERS = timedelta(seconds=30)  # after the grace period, until a kubelet has removed the pod
STEADY = timedelta(minutes=1)  # a container that ran longer is restarted by the kubelet at once

# Why a node could not pull the image, by the text of its message: message, hint, whether it is permanent.
_PULLS: tuple[tuple[str, str, str, bool], ...] = (
    (
        r"unauthorized|unauthenticated|authentication required|no basic auth|denied|forbidden",
        "The registry does not let the nodes pull the image.",
        "Check the pull secret (K8S_REGISTRY_SECRET_NAME), or the login that the team gave for it.",
        True,
    ),
    (
        r"no match for platform|no matching manifest",
        "The image does not exist for the node's platform.",
        "Add the platform to REGISTRY_ARCH_TARGETS and redeploy.",
        True,
    ),
    (
        r"not found|manifest unknown|name unknown",
        "The image is not at the registry.",
        "Redeploy the server: that builds and pushes it again.",
        True,
    ),
    (
        PATTERNS[Reason.PLAIN_HTTP][0],
        "The registry speaks http, and the nodes expect https.",
        "Let the nodes' container runtime know it as an insecure registry.",
        True,
    ),
    (
        "|".join(PATTERNS[Reason.UNTRUSTED]),
        "The nodes do not trust the registry's certificate.",
        "Install its CA on the nodes.",
        True,
    ),
)
_WAITING_FOR_GOOD = {
    "InvalidImageName": ("The image's name is not one.", "Redeploy the server."),
    "ErrImageNeverPull": ("The image is not on the node, and may not be pulled.", "Redeploy the server."),
    "CreateContainerConfigError": (
        "The container cannot be made as configured.",
        "Redeploy the server.",
    ),
    "CreateContainerError": ("The container cannot be made.", "Correct the server's command."),
    "RunContainerError": ("The container cannot be started.", "Correct the server's command."),
}
PASSING = {"passing": True}  # details of a fault that ends by itself, however long that takes
# A node writes these words for a failure that it retries by itself: it is busy, or its API server restarts.
_PASSING = r"timed out|deadline exceeded|failed to sync|name .* is reserved"
_SUFFIXES = {
    **{"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0},
    **{name: 1000.0**power for power, name in enumerate("kMGTPE", 1)},
    **{f"{name}i": 1024.0**power for power, name in enumerate("KMGTPE", 1)},
}


@dataclass(frozen=True)
class PodState:
    """The state of a pod and of its server's container.

    `fault` says why it does not run; one that is not permanent may end by itself. `backs_off`: its node only
    says that it will pull again later, and its events say why the pull failed. `restarts` is the number of
    restarts (restartCount); `has_previous` means that the log of the container before can be read. `address`
    is the IP of the pod. `ends_at` is when its grace period is over, once it is being deleted; `has_failed`
    is the phase Failed.
    """

    name: str
    started: bool = False
    ready: bool = False
    fault: RuntimeFault | None = None
    backs_off: bool = False
    exit_code: int | None = None
    restarts: int = 0
    has_previous: bool = False
    address: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)
    ends_at: datetime | None = None
    has_failed: bool = False

    @property
    def is_ending(self) -> bool:
        return self.ends_at is not None


def states(pods: Iterable[Json]) -> list[PodState]:
    """The states of the pods that count (see `current`)."""
    return current([state_of(pod) for pod in pods])


def current(pods: Sequence[PodState]) -> list[PodState]:
    """The pods that count for the status of a run: not ending ones, and failed ones only without others."""
    here = [pod for pod in pods if not pod.is_ending]
    return [pod for pod in here if not pod.has_failed] or here


def readable(pods: Sequence[PodState]) -> list[PodState]:
    """The pods whose output can be read, also those that are ending. A pod that should be gone since LINGERS
    is left out: its node is lost, and the API server would wait for that node.
    """
    lately = datetime.now(UTC) - LINGERS
    leaving = [pod for pod in pods if pod.ends_at and pod.ends_at > lately and not pod.has_failed]
    return [*current(pods), *leaving]


def deployment_of(pod: str) -> str:
    """The name of the Deployment in the name of a pod, which is `<deployment>-<replica set>-<pod>`."""
    return pod.rsplit("-", 2)[0]


def state_of(pod: Json) -> PodState:
    """The state of one Pod object."""
    about, status = pod["metadata"], pod.get("status", {})
    state = _state(about["name"], status)
    return replace(
        state,
        ready=state.ready and not _is_cut_off(status),
        address=status.get("podIP", ""),
        labels=about.get("labels", {}),
        ends_at=datetime.fromisoformat(about["deletionTimestamp"]) if "deletionTimestamp" in about else None,
        has_failed=status.get("phase") == "Failed",
    )


def _is_cut_off(status: Json) -> bool:
    """Whether the pod is not ready although its container may say so: a lost node reports no containers."""
    return any(each["type"] == "Ready" and each["status"] != "True" for each in status.get("conditions", []))


def _state(name: str, status: Json) -> PodState:
    if status.get("phase") == "Failed" and status.get("reason"):
        words = f"{status['reason']}: {brief(status.get('message', ''))}"
        lacks = status["reason"] == "Evicted" or "ephemeral-storage" in words or "DiskPressure" in words
        reason = Reason.NO_CAPACITY if lacks else None
        return PodState(name, fault=_fault(f"Its pod was ended by the cluster ({words}).", "", False, reason))
    if containers := status.get("containerStatuses"):  # a service mesh may add a sidecar
        return _container(name, next((c for c in containers if c["name"] == CONTAINER), containers[0]))
    return PodState(name, fault=_unschedulable(status.get("conditions", [])))


def refusal(deployment: Json) -> RuntimeFault | None:
    """Why no pod could be created (condition ReplicaFailure): a quota, an account, an admission rule."""
    for condition in deployment.get("status", {}).get("conditions", []):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return from_status(403, brief(condition.get("message", "")))
    return None


def quantity(text: str) -> float:
    """The value of a resource.Quantity: `250m` is 0.25, `64Mi` is 67108864."""
    number = text.rstrip("numkKMGTPEi")
    return float(number) * _SUFFIXES[text[len(number) :]]


def worst(pods: Sequence[PodState]) -> PodState | None:
    """The pod whose fault is shown for the run, a permanent one first; None where no pod has a fault."""
    faulty = [pod for pod in pods if pod.fault]
    return min(faulty, key=lambda pod: not (pod.fault and pod.fault.permanent), default=None)


def _container(name: str, status: Json) -> PodState:
    """While a container waits for its restart, its log is still that of the container before."""
    restarts = status.get("restartCount", 0)
    has_previous = restarts > 0 and "waiting" not in status.get("state", {})
    return replace(_seen(name, status), restarts=restarts, has_previous=has_previous)


def _seen(name: str, status: Json) -> PodState:
    state, last = status.get("state", {}), status.get("lastState", {}).get("terminated")
    if "running" in state:
        return PodState(name, started=True, ready=bool(status.get("ready")))
    if ended := state.get("terminated"):
        # A kubelet sets CrashLoopBackOff only some ten seconds after the second crash.
        return _ended(name, ended, permanent=status.get("restartCount", 0) > 0 and _ran_shortly(ended))
    waiting = state.get("waiting", {})
    reason, text = waiting.get("reason", ""), brief(waiting.get("message", ""))
    if reason == "CrashLoopBackOff":
        return _ended(name, last or {}, permanent=True)
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        return PodState(name, fault=pull_fault(text), backs_off=reason == "ImagePullBackOff")
    if known := _WAITING_FOR_GOOD.get(reason):
        message, hint = known
        message = f"{message} ({text or reason})"
        why = Reason.IMAGE_UNAVAILABLE if reason == "ErrImageNeverPull" else reason_in(text)
        if re.search(_PASSING, text, re.IGNORECASE):
            return PodState(name, fault=_fault(message, hint, False, why, PASSING))
        return PodState(name, fault=_fault(message, hint, True, why))
    return PodState(name)


def _ended(name: str, ended: Json, *, permanent: bool) -> PodState:
    code = ended.get("exitCode")
    if ended.get("reason") == "OOMKilled":
        message, hint = "It ran out of memory and was killed.", "Raise its memory limit."
        reason = Reason.OUT_OF_MEMORY
    else:
        reason = Reason.CRASHED
        message = "It keeps ending." if code is None else describe_exit(code)
        hint = EXITED
    if said := " ⏎ ".join(last_words(ended.get("message", "").splitlines(), 5)):
        message = f"{message} It wrote last: “{brief(said)}”."
    return PodState(name, fault=_fault(message, hint, permanent, reason), exit_code=code)


def _ran_shortly(ended: Json) -> bool:
    times = [ended.get(name) for name in ("startedAt", "finishedAt")]
    if not all(times):
        return True
    began, finished = (datetime.fromisoformat(str(time).removesuffix("Z")) for time in times)
    return finished - began < STEADY


def pull_fault(text: str) -> RuntimeFault:
    """The fault for a failed pull. `text` is the message of the node."""
    for pattern, message, hint, permanent in _PULLS:
        if re.search(pattern, text, re.IGNORECASE):
            return _fault(f"{message} ({text})", hint, permanent, Reason.IMAGE_UNAVAILABLE)
    hint = "Check that the nodes reach the registry."
    return _fault(f"The nodes cannot pull the image. ({text})", hint, False, Reason.IMAGE_UNAVAILABLE)


def _unschedulable(conditions: Sequence[Json]) -> RuntimeFault | None:
    for condition in conditions:
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            text = brief(condition.get("message", ""))
            hint = "Add nodes of a published platform, or lower the server's limits."
            return _fault(f"No node takes the server: {text}", hint, False, Reason.NO_CAPACITY)
    return None


def _fault(
    message: str, hint: str, permanent: bool, reason: Reason | None, details: Json | None = None
) -> RuntimeFault:
    return RuntimeFault(message, hint=hint, permanent=permanent, reason=reason, details=details)
