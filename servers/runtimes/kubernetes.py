"""Runs servers as Deployments of a Kubernetes cluster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property

from servers.errors import RuntimeFault, TimedOut
from servers.leash import Leash
from servers.process_group import LineSink
from servers.runtimes import kube_logs, kube_pods, kubernetes_manifests
from servers.runtimes.base import Capability, Handle, OutputLine, RunSpec, RunStatus, Stats, Stray
from servers.runtimes.docker_logs import Cursor
from servers.runtimes.kube_client import Cluster, Json
from servers.runtimes.kube_faults import Absent, Gone, Unreachable, brief
from servers.runtimes.kube_pods import PodState
from servers.runtimes.kubernetes_manifests import LABEL, Placement, Shape

OLDEST = (1, 20)  # Server-side apply, startup probes and seccomp profiles as fields
WATCH_SECONDS = 1  # a cancel or a deadline is seen this late
PATIENCE_SECONDS = 10.0  # for what may come right by itself: a node that joins, a registry that returns
GLANCE_SECONDS = 2.0  # what looks after many servers must not wait long for one
APPS, NETWORKING, CORE = "apps/v1", "networking.k8s.io/v1", "v1"
ACCESS = (
    *(("", "secrets", verb) for verb in ("get", "create", "patch", "delete")),
    *(("", "services", verb) for verb in ("create", "patch", "delete")),
    *(("", "pods", verb) for verb in ("list", "watch", "deletecollection")),
    ("", "pods/log", "get"),
    ("", "events", "list"),
    *(("apps", "deployments", verb) for verb in ("get", "list", "create", "patch", "delete")),
    ("apps", "replicasets", "deletecollection"),
    *(("networking.k8s.io", "networkpolicies", verb) for verb in ("create", "patch", "delete")),
    *(("policy", "poddisruptionbudgets", verb) for verb in ("create", "patch", "delete")),
    *(("autoscaling", "horizontalpodautoscalers", verb) for verb in ("create", "patch", "delete")),
)


def _plain(_: RunSpec) -> Shape:
    return Shape()


class KubernetesRuntime:
    """One Deployment, Service, Secret and NetworkPolicy per run, in the namespace of `place`.

    `shape_of` says how a server lies on the cluster. `context` is one of the kubeconfig's.
    """

    name = "kubernetes"
    needs_image = True
    outlives_platform = True

    def __init__(
        self,
        place: Placement,
        *,
        context: str = "",
        shape_of: Callable[[RunSpec], Shape] = _plain,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._given = place
        self._shape_of = shape_of
        self._patience = patience
        self._cluster = Cluster(place.namespace, context)
        self._glance = Cluster(place.namespace, context, patience=GLANCE_SECONDS)

    def start(self, spec: RunSpec, *, leash: Leash, log: LineSink) -> Handle:
        """Applies the objects and returns once a container runs.

        What cannot come right by itself ends it at once, anything else after `patience` seconds.
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
            {"name": name, "deployment": spec.deployment_id},
        )
        try:
            for manifest in kubernetes_manifests.manifests(spec, place, self._shape_of(spec)):
                leash.check()
                self._cluster.apply(manifest)
                log(f"Applied {manifest['kind']} {name}")
            self._await_start(handle, leash, log)
        except BaseException:
            with suppress(RuntimeFault):
                self.stop(handle, grace=0)
            raise
        return handle

    def stop(self, handle: Handle, *, grace: float) -> None:
        """From the top down, so that no controller makes anew what is deleted. Pods end in the background."""
        name, selector = handle.data["name"], self._selector(handle)
        self._cluster.delete(APPS, "Deployment", name)
        self._cluster.delete_all(APPS, "ReplicaSet", selector)
        self._cluster.delete_all(CORE, "Pod", selector, grace=math.ceil(grace))
        for api, kind in (
            ("autoscaling/v1", "HorizontalPodAutoscaler"),
            (self._place.policy_api, "PodDisruptionBudget"),
            (NETWORKING, "NetworkPolicy"),
            (CORE, "Service"),
            (CORE, "Secret"),
        ):
            self._cluster.delete(api, kind, name)

    def poll(self, handle: Handle) -> RunStatus:
        """Alive as long as one of its pods is ready, or may still become so."""
        found = self._glance.get(APPS, "Deployment", handle.data["name"])
        if found is None:
            return RunStatus(alive=False, reason="Its Deployment is gone.")
        pods = self._pods(handle)
        bad = kube_pods.worst(pods)
        fault = bad.fault if bad else kube_pods.refusal(found)
        if fault is None:
            return RunStatus(alive=True)
        alive = not fault.permanent or any(pod.ready for pod in pods)
        return RunStatus(alive, bad.exit_code if bad else None, str(fault))

    def output(self, handle: Handle, cursor: str) -> tuple[Sequence[OutputLine], str]:
        """Of the pods that there are; each line names its pod where there are several."""
        known = kube_logs.Cursors.parse(cursor).pods
        pods = [pod.name for pod in self._pods(handle)]
        parts, reached = [], dict[str, Cursor]()
        for pod in pods:
            before = known.get(pod, Cursor())
            answer = self._log_of(pod, before)
            lines, reached[pod] = kube_logs.after(before, answer, pod=pod if len(pods) > 1 else "")
            parts.append(lines)
        read = {pod: position for pod, position in reached.items() if position != Cursor()}
        return kube_logs.merged(parts), str(kube_logs.Cursors(read)) or cursor

    def stats(self, handle: Handle) -> Stats | None:
        """From metrics-server, where the cluster has one; it counts no processes."""
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{self._given.namespace}/pods"
        try:
            found = self._glance.request("GET", path, query={"labelSelector": self._selector(handle)})
        except Absent:
            return None
        used = [container["usage"] for pod in found["items"] for container in pod["containers"]]
        if not used:
            return None
        cpu = sum(kube_pods.quantity(each["cpu"]) for each in used)
        memory = sum(kube_pods.quantity(each["memory"]) for each in used)
        return Stats(cpu=cpu, memory_bytes=int(memory), pids=0)

    def strays(self) -> Sequence[Stray]:
        selector = f"{LABEL}instance={self._given.instance}"
        return [_stray(found) for found in self._glance.list(APPS, "Deployment", selector)[0]]

    def capability(self) -> Capability:
        try:
            version = self._glance.request("GET", "/version")
            missing = [access for access in ACCESS if not self._may(*access)]
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
        """With the API of this cluster: policy/v1 came with 1.21."""
        version = self._cluster.request("GET", "/version")
        old = _number(version) < (1, 21)
        return replace(self._given, policy_api="policy/v1beta1") if old else self._given

    def _selector(self, handle: Handle) -> str:
        return kubernetes_manifests.selector_of(self._given.instance, handle.data["deployment"])

    def _pods(self, handle: Handle) -> list[PodState]:
        found, _ = self._glance.list(CORE, "Pod", self._selector(handle))
        return kube_pods.states(found)

    def _await_start(self, handle: Handle, leash: Leash, log: LineSink) -> None:
        version, seen = self._listed(handle)
        trouble = _Trouble(self._patience, log)
        while not any(pod.started for pod in seen.values()):
            self._check(leash, handle)
            trouble.note(self._fault(handle, list(seen.values())))
            version = self._follow(handle, seen, version)

    def _fault(self, handle: Handle, pods: list[PodState]) -> RuntimeFault | None:
        bad = kube_pods.worst(pods)
        if bad is None or bad.fault is None:
            return self._refusal(handle)
        if kube_pods.is_vague(bad.fault):
            pulls = [told for told in self._warnings(handle) if "Failed to pull image" in told]
            return kube_pods.pull_fault(pulls[0]) if pulls else bad.fault
        return bad.fault

    def _listed(self, handle: Handle) -> tuple[str, dict[str, PodState]]:
        pods, version = self._cluster.list(CORE, "Pod", self._selector(handle))
        return version, {state.name: state for state in kube_pods.states(pods)}

    def _check(self, leash: Leash, handle: Handle) -> None:
        """As `Leash.check`; a timeout says what the cluster has warned of meanwhile."""
        try:
            leash.check()
        except TimedOut as late:
            if warnings := self._warnings(handle):
                raise TimedOut(f"{late.message} The cluster says: {warnings[0]}") from None
            raise

    def _warnings(self, handle: Handle) -> list[str]:
        """Of the events, newest first: only there is told what keeps a volume or a network away."""
        fields = "type=Warning,involvedObject.kind=Pod"
        events, _ = self._glance.list(CORE, "Event", fields=fields)
        name = f"{handle.data['name']}-"
        mine = [event for event in events if event["involvedObject"]["name"].startswith(name)]
        mine.sort(key=lambda event: event.get("lastTimestamp") or "", reverse=True)
        return [f"{event['reason']}: {brief(event.get('message', ''))}" for event in mine]

    def _follow(self, handle: Handle, seen: dict[str, PodState], version: str) -> str:
        """Takes into `seen` what happens to the pods, until one has changed or a moment is over."""
        try:
            for kind, pod in self._cluster.watch(CORE, "Pod", self._selector(handle), version, WATCH_SECONDS):
                version, state = pod["metadata"]["resourceVersion"], kube_pods.look(pod)
                before = seen.pop(state.name, None)
                if kind != "DELETED" and not kube_pods.is_ending(pod):
                    seen[state.name] = state
                if seen.get(state.name) != before:
                    break
        except (Gone, Unreachable):  # forgotten meanwhile, or the API server is restarting
            version, listed = self._listed(handle)
            seen.clear()
            seen.update(listed)
        return version

    def _refusal(self, handle: Handle) -> RuntimeFault | None:
        found = self._cluster.get(APPS, "Deployment", handle.data["name"])
        return kube_pods.refusal(found) if found else None

    def _log_of(self, pod: str, cursor: Cursor) -> bytes:
        """Nothing for a pod whose container was not made yet (400), or that is gone (404)."""
        path = self._cluster.path("Pod", pod, "log")
        try:
            return self._glance.text(path, kube_logs.query(cursor))
        except RuntimeFault as fault:
            if fault.details.get("status") in (400, 404):
                return b""
            raise

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


class _Trouble:
    """What keeps a run from starting: told once, raised when it is permanent or has lasted too long."""

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
        if fault.permanent or time.monotonic() - self._since > self._patience:
            raise fault


def _stray(found: Json) -> Stray:
    about = found["metadata"]
    labels = about["labels"]
    deployment = int(labels[f"{LABEL}deployment"])
    handle = Handle(
        KubernetesRuntime.name,
        about.get("annotations", {}).get(f"{LABEL}endpoint", ""),
        {"name": about["name"], "deployment": deployment},
    )
    return Stray(int(labels[f"{LABEL}server"]), deployment, handle)


def _number(version: Json) -> tuple[int, int]:
    """Some providers write a minor version such as `27+`."""
    return int(version["major"]), int("".join(c for c in version["minor"] if c.isdigit()))
