"""Runs servers as Deployments of a Kubernetes cluster (API of 1.20 or newer)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from hosting.deadline import Deadline
from hosting.errors import RuntimeFault, TimedOut
from hosting.process_group import LineSink
from hosting.runtimes import kube_metrics, kube_output, kube_pods, kubernetes_manifests
from hosting.runtimes.base import Capability, Handle, OutputLine, RunSpec, RunStatus, Stats, Stray
from hosting.runtimes.kube_client import Cluster, Json
from hosting.runtimes.kube_faults import Gone, brief
from hosting.runtimes.kube_mirror import Mirror
from hosting.runtimes.kube_pods import PodState
from hosting.runtimes.kube_watch import Watch, by_run
from hosting.runtimes.kubernetes_manifests import LABEL, Placement

OLDEST = (1, 20)  # it has server-side apply, startup probes and seccomp profiles as fields
WATCH_SECONDS = 1  # the delay with which a cancel or a deadline is seen
PATIENCE_SECONDS = 10.0  # for faults that may end by themselves: a node joins, a registry returns
GLANCE_SECONDS = 2.0  # for a status: whoever asks for those of many servers must not wait long for one
APPS, NETWORKING, CORE = "apps/v1", "networking.k8s.io/v1", "v1"
ACCESS = (
    *(("", "secrets", verb) for verb in ("get", "create", "patch", "delete")),
    *(("", "services", verb) for verb in ("list", "create", "patch", "delete")),
    *(("", "pods", verb) for verb in ("list", "watch", "deletecollection")),
    ("", "pods/log", "get"),
    ("", "events", "list"),
    *(("", "persistentvolumeclaims", verb) for verb in ("create", "patch", "deletecollection")),
    *(("apps", "deployments", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")),
    ("apps", "replicasets", "deletecollection"),
    *(("networking.k8s.io", "networkpolicies", verb) for verb in ("create", "patch", "delete")),
    *(("policy", "poddisruptionbudgets", verb) for verb in ("create", "patch", "delete")),
    *(("autoscaling", "horizontalpodautoscalers", verb) for verb in ("create", "patch", "delete")),
)
PROXIED = tuple(
    ("", f"{what}/proxy", verb) for what in ("services", "pods") for verb in ("get", "create", "delete")
)


class KubernetesRuntime:
    """Each run is a Deployment, a Service, a Secret and a NetworkPolicy in the namespace of `place`.

    `context` is a context of the kubeconfig. With `proxied` the platform calls servers through the API
    server, with its own credentials. `patience` is how long, in seconds, a start waits for a fault to end by
    itself.
    """

    name = "kubernetes"
    needs_image = True
    outlives_platform = True
    any_platform = True

    def __init__(
        self,
        place: Placement,
        *,
        context: str = "",
        proxied: bool = False,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._given, self._proxied = place, proxied
        self._patience = patience
        self._cluster = Cluster(place.namespace, context)
        self._glance = Cluster(place.namespace, context, patience=GLANCE_SECONDS)
        ours = f"{LABEL}instance={place.instance}"
        self._watch = Watch(self._glance)
        self._all_pods = Mirror(self._glance, CORE, "Pod", ours, kube_pods.state_of, self._watch.pod_changed)
        self._all_deployments = Mirror(
            self._glance, APPS, "Deployment", ours, _Seen.of, self._watch.deployment_changed
        )

    def start(self, spec: RunSpec, *, deadline: Deadline, log: LineSink) -> Handle:
        """Applies the objects and returns when the container of one pod has started.

        A permanent fault of the pods is raised at once, any other one when it lasts for `patience` seconds.
        """
        if "@sha256:" not in spec.image:
            raise RuntimeFault(
                "Kubernetes runs images from a registry only, by digest.", hint="Set REGISTRY and redeploy."
            )
        place = self._place
        name = kubernetes_manifests.name_of(spec, place)
        handle = Handle(
            self.name,
            kubernetes_manifests.endpoint_of(spec, place),
            {
                "name": name,
                "run": spec.run_id,
                "deployment": spec.deployment_id,  # by which versions before this one find its objects
                **({"several": True} if spec.shape.is_several else {}),
            },
        )
        try:
            for manifest in kubernetes_manifests.manifests(spec, place):
                deadline.check()
                self._cluster.apply(manifest)
                log(f"Applied {manifest['kind']} {name}")
            self._await_start(handle, deadline, log)
        except BaseException as error:
            if isinstance(error, RuntimeFault):
                self._tell_warning(handle, log)
            with suppress(RuntimeFault):
                self.stop(handle, grace=0)
            raise
        return handle

    def stop(self, handle: Handle, *, grace: float) -> None:
        """Deletes owners before what they own, or a controller would create it again. The pods end
        afterwards, in the background.
        """
        name, selector = handle.data["name"], self._selector(handle)
        self._cluster.delete(APPS, "Deployment", name)
        self._cluster.delete_all(APPS, "ReplicaSet", selector)
        self._cluster.delete_all(CORE, "Pod", selector, grace=math.ceil(grace))
        self._cluster.delete(CORE, "Secret", kubernetes_manifests.pull_secret_of(name))
        for api, kind in (
            ("autoscaling/v1", "HorizontalPodAutoscaler"),
            (self._place.policy_api, "PodDisruptionBudget"),
            (NETWORKING, "NetworkPolicy"),
            (CORE, "Secret"),
            (CORE, "Service"),  # the last one: by it, `strays` finds a run whose stop has failed
        ):
            self._cluster.delete(api, kind, name)

    def forget(self, server_id: int) -> None:
        selector = kubernetes_manifests.server_selector(self._given.instance, server_id)
        self._cluster.delete_all(CORE, "PersistentVolumeClaim", selector)

    def poll(self, handle: Handle) -> RunStatus:
        """A run is alive while one of its pods is ready or may still become ready."""
        found = self._glance.get(APPS, "Deployment", handle.data["name"])
        if found is None:
            return RunStatus(alive=False, reason="Its Deployment is gone.")
        return self._status(handle, self._pods(handle), kube_pods.refusal(found))

    def survey(self, handles: Sequence[Handle]) -> Sequence[RunStatus | RuntimeFault]:
        """Reads copies that two watches keep, without a request. A run that seems ended there is polled."""
        try:
            seen, pods = self._all_deployments.objects(), by_run(self._all_pods.objects().values())
        except RuntimeFault as fault:
            return [fault] * len(handles)
        return [self._surveyed(handle, seen, pods) for handle in handles]

    def _surveyed(
        self, handle: Handle, seen: Mapping[str, _Seen], pods: Mapping[str, list[PodState]]
    ) -> RunStatus | RuntimeFault:
        if found := seen.get(handle.data["name"]):
            mine = kube_pods.current(pods.get(kubernetes_manifests.key_of(handle.data), []))
            status = self._status(handle, mine, found.refusal)
            if status.alive:
                return _held_up(status, mine) or status
        try:
            return self.poll(handle)
        except RuntimeFault as fault:
            return fault

    def _status(self, handle: Handle, pods: list[PodState], refusal: RuntimeFault | None) -> RunStatus:
        bad = kube_pods.worst(pods)
        fault = bad.fault if bad else refusal
        endpoints = self._endpoints(handle, pods)
        if fault is None:
            return RunStatus(alive=True, endpoints=endpoints)
        alive = not fault.permanent or any(pod.ready for pod in pods)
        code = bad.exit_code if bad else None
        return RunStatus(alive, code, str(fault), endpoints, fault.reason, advice=fault.hint)

    def _endpoints(self, handle: Handle, pods: list[PodState]) -> dict[str, str]:
        """The URL of each ready pod, where a run may have several: a session belongs to one of them."""
        if not handle.data.get("several"):
            return {}
        return {
            pod.name: kubernetes_manifests.endpoint_of_pod(handle.endpoint, pod.name, pod.address)
            for pod in pods
            if pod.ready and pod.address
        }

    def watch(self, handles: Sequence[Handle], changed: Callable[[], None]) -> None:
        """As `Runtime.watch`. Changes are seen while surveys keep the mirrors going."""
        self._watch.replace(handles, self._all_pods.peek(), changed)

    def may_have_output(self, handle: Handle, cursor: str) -> bool:
        return self._watch.may_have_output(handle)

    def output(self, handle: Handle, cursor: str) -> tuple[Sequence[OutputLine], str]:
        """The output of the pods that exist now; each line names its pod where there may be several."""
        several, pods = bool(handle.data.get("several")), self._readable_pods(handle)
        return self._watch.read(pods, lambda: kube_output.read(self._glance, pods, cursor, several=several))

    def stats(self, handle: Handle) -> Stats | None:
        """From metrics-server; None where the cluster has none. It counts no processes."""
        return kube_metrics.used(self._glance, self._selector(handle)).get(handle.data["name"])

    def measure(self, handles: Sequence[Handle]) -> Sequence[Stats | None]:
        """With one request for all runs."""
        try:
            found = kube_metrics.used(self._glance, f"{LABEL}instance={self._given.instance}")
        except RuntimeFault:
            found = {}
        return [found.get(handle.data["name"]) for handle in handles]

    def warnings(self, handle: Handle) -> Sequence[str]:
        """The Warning events of its pods. Only they tell why a volume or a network is missing."""
        fields = "type=Warning,involvedObject.kind=Pod"
        events, _ = self._glance.list(CORE, "Event", fields=fields)
        name = handle.data["name"]
        mine = [event for event in events if kube_pods.deployment_of(event["involvedObject"]["name"]) == name]
        mine.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "", reverse=True)
        return [f"{event['reason']}: {brief(event.get('message', ''))}" for event in mine]

    def strays(self) -> Sequence[Stray]:
        """Finds runs by their Services, which are created first and deleted last."""
        selector = f"{LABEL}instance={self._given.instance}"
        return [_stray(found) for found in self._glance.list(CORE, "Service", selector)[0]]

    def capability(self) -> Capability:
        try:
            version = self._glance.request("GET", "/version")
            wanted = ACCESS + (PROXIED if self._proxied else ())
            missing = [access for access in wanted if not self._may(*access)]
        except RuntimeFault as fault:
            return Capability(self.name, False, fault.message, fault.hint)
        detail = f"Kubernetes {version['gitVersion']}, namespace {self._given.namespace}"
        if _number(version) < OLDEST:
            return Capability(self.name, False, detail, "Kubernetes 1.20 or newer is needed.")
        if missing:
            rights = ", ".join(f"{verb} {resource}" for _, resource, verb in missing)
            advice = f"Apply deploy/kubernetes/role.yaml: the platform may not {rights}."
            return Capability(self.name, False, detail, advice)
        return Capability(self.name, True, detail)

    @cached_property
    def _place(self) -> Placement:
        """The placement with what only the cluster knows: its URL, and the version of its policy API."""
        version = self._cluster.request("GET", "/version")
        policy_api = "policy/v1beta1" if _number(version) < (1, 21) else "policy/v1"
        return replace(self._given, policy_api=policy_api, through=self._cluster.url if self._proxied else "")

    def _selector(self, handle: Handle) -> str:
        return kubernetes_manifests.selector_of(self._given.instance, handle.data)

    def _pods(self, handle: Handle) -> list[PodState]:
        return kube_pods.current(self._looked_at(handle))

    def _looked_at(self, handle: Handle) -> list[PodState]:
        return [kube_pods.state_of(pod) for pod in self._glance.list(CORE, "Pod", self._selector(handle))[0]]

    def _readable_pods(self, handle: Handle) -> list[PodState]:
        """The pods with output to read. It needs no request while surveys keep the copy up to date."""
        seen, wanted = self._all_pods.peek(), kubernetes_manifests.key_of(handle.data)
        mine = [pod for pod in seen or () if kubernetes_manifests.key_of_labels(pod.labels) == wanted]
        return kube_pods.readable(mine or self._looked_at(handle))

    def _await_start(self, handle: Handle, deadline: Deadline, log: LineSink) -> None:
        version, seen = self._listed(handle)
        trouble = _Trouble(self._patience, log)
        while not any(pod.started for pod in seen.values()):
            self._check(deadline, handle)
            trouble.note(self._fault(handle, list(seen.values())))
            version = self._follow(handle, seen, version)

    def _fault(self, handle: Handle, pods: list[PodState]) -> RuntimeFault | None:
        bad = kube_pods.worst(pods)
        if bad is None or bad.fault is None:
            return self._refusal(handle)
        if bad.backs_off:
            pulls = [told for told in self.warnings(handle) if "Failed to pull image" in told]
            return kube_pods.pull_fault(pulls[0]) if pulls else bad.fault
        return bad.fault

    def _listed(self, handle: Handle) -> tuple[str, dict[str, PodState]]:
        pods, version = self._cluster.list(CORE, "Pod", self._selector(handle))
        return version, {state.name: state for state in kube_pods.states(pods)}

    def _check(self, deadline: Deadline, handle: Handle) -> None:
        """As `Deadline.check`; the error for a timeout also has the newest warning of the cluster."""
        try:
            deadline.check()
        except TimedOut as late:
            if warnings := self.warnings(handle):
                raise TimedOut(f"{late.message} The cluster says: {warnings[0]}") from None
            raise

    def _tell_warning(self, handle: Handle, log: LineSink) -> None:
        with suppress(RuntimeFault):
            for warning in self.warnings(handle)[:1]:
                log(f"The cluster says: {warning}")

    def _follow(self, handle: Handle, seen: dict[str, PodState], version: str) -> str:
        """Updates `seen` from a watch, until a pod changes or WATCH_SECONDS are over; returns the version."""
        try:
            for kind, pod in self._cluster.watch(CORE, "Pod", self._selector(handle), version, WATCH_SECONDS):
                version = pod["metadata"]["resourceVersion"]
                if kind == "BOOKMARK":
                    continue
                state = kube_pods.state_of(pod)
                before = seen.pop(state.name, None)
                if kind != "DELETED" and not state.is_ending:
                    seen[state.name] = state
                if seen.get(state.name) != before:
                    break
        except RuntimeFault as fault:  # the version is too old, or the API server restarts
            if fault.permanent and not isinstance(fault, Gone):
                raise
            version, listed = self._listed(handle)
            seen.clear()
            seen.update(listed)
        return version

    def _refusal(self, handle: Handle) -> RuntimeFault | None:
        found = self._cluster.get(APPS, "Deployment", handle.data["name"])
        return kube_pods.refusal(found) if found else None

    def _may(self, group: str, resource: str, verb: str) -> bool:
        resource, _, below = resource.partition("/")
        wanted = {"namespace": self._given.namespace, "group": group, "resource": resource, "verb": verb}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**wanted, **({"subresource": below} if below else {})}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool(self._glance.request("POST", path, body=review)["status"]["allowed"])


@dataclass(frozen=True)
class _Seen:
    """What a `Mirror` keeps of a Deployment."""

    refusal: RuntimeFault | None

    @classmethod
    def of(cls, found: Json) -> _Seen:
        return cls(kube_pods.refusal(found))


def _held_up(status: RunStatus, pods: Sequence[PodState]) -> RuntimeFault | None:
    """The fault of a run that has no container yet while the cluster keeps trying: no node has room for it,
    or its image cannot be pulled. None for all others, also after a crash, since the kubelet restarts it.
    """
    if not status.reason or status.exit_code is not None or any(pod.started for pod in pods):
        return None
    return RuntimeFault(status.reason, reason=status.cause, permanent=False)


class _Trouble:
    """The fault that keeps a run from starting. It is logged once, and raised when it is permanent or has
    lasted for `patience` seconds. A PASSING fault may last until the deadline of the start.
    """

    def __init__(self, patience: float, log: LineSink) -> None:
        self._patience, self._log = patience, log
        self._said = ""
        self._since = 0.0

    def note(self, fault: RuntimeFault | None) -> None:
        if fault is None:
            self._said = ""
            return
        if not self._said:
            self._since = time.monotonic()
        if fault.message != self._said:
            self._log(fault.message)
            self._said = fault.message
        lasts = time.monotonic() - self._since > self._patience and fault.details != kube_pods.PASSING
        if fault.permanent or lasts:
            raise fault


def _stray(found: Json) -> Stray:
    about = found["metadata"]
    labels = about["labels"]
    deployment, run_id = int(labels[f"{LABEL}deployment"]), int(labels.get(f"{LABEL}run", 0))
    handle = Handle(
        KubernetesRuntime.name,
        about.get("annotations", {}).get(f"{LABEL}endpoint", ""),
        {"name": about["name"], "deployment": deployment, **({"run": run_id} if run_id else {})},
    )
    return Stray(int(labels[f"{LABEL}server"]), deployment, handle, run_id)


def _number(version: Json) -> tuple[int, int]:
    """Major and minor version. Some providers write a minor version such as `27+`."""
    return int(version["major"]), int("".join(c for c in version["minor"] if c.isdigit()))
