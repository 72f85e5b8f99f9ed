"""The runtime on a real API server. There is no kubelet: what one would say of a pod, the tests say."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import utils

from hosting.deadline import Deadline
from hosting.errors import Cancelled, RuntimeFault, UserError
from hosting.runtimes.base import Handle, RunSpec, RunStatus, Shape
from hosting.runtimes.kubernetes import KubernetesRuntime
from hosting.runtimes.kubernetes_manifests import Placement
from tests.eventually import eventually
from tests.hosting.runtimes.told import Told, threads
from tests.kubernetes import test_manifests
from tests.kubernetes.conftest import Admin, Json

pytestmark = pytest.mark.kubernetes

INSTANCE = "0123456789ab"
NAME = "mcp-012345-weather-r42"
ROLE = Path(__file__).parents[2] / "deploy/kubernetes/role.yaml"
RUNNING: Json = {"running": {"startedAt": "2026-11-22T17:05:32Z"}}


def spec(**changes: Any) -> RunSpec:
    return test_manifests.spec(**{"environment": {"API_KEY": "s3cret"}, **changes})


def make(admin: Admin, **changes: Any) -> KubernetesRuntime:
    """More patient than the platform: what a kubelet would say at once, a test says when it comes to it."""
    return KubernetesRuntime(
        Placement(INSTANCE, admin.namespace, pull_secret="pull"), **{"patience": 60, **changes}
    )


@pytest.fixture
def runtime(admin: Admin) -> KubernetesRuntime:
    return make(admin)


class Starting:
    """A start in a thread of its own; `lines` is what it told so far."""

    def __init__(self, runtime: KubernetesRuntime, spec: RunSpec, deadline: Deadline) -> None:
        self.lines: list[str] = []
        self._handle: Handle | None = None
        self._fault: UserError | None = None
        self._thread = threading.Thread(target=self._run, args=(runtime, spec, deadline))
        self._thread.start()

    def _run(self, runtime: KubernetesRuntime, spec: RunSpec, deadline: Deadline) -> None:
        try:
            self._handle = runtime.start(spec, deadline=deadline, log=self.lines.append)
        except UserError as fault:
            self._fault = fault

    def handle(self, within: float = 120) -> Handle:
        self._thread.join(within)
        if self._fault:
            raise self._fault
        assert self._handle
        return self._handle

    def fault(self, within: float = 120) -> UserError:
        self._thread.join(within)
        assert self._fault
        return self._fault


Start = Callable[..., Starting]


@pytest.fixture
def start(runtime: KubernetesRuntime) -> Start:
    def begin(on: KubernetesRuntime = runtime, deadline: Deadline | None = None, **changes: Any) -> Starting:
        return Starting(on, spec(**changes), deadline or Deadline.of(60))

    return begin


def started(admin: Admin, start: Start, **changes: Any) -> Handle:
    """Runs as far as a kubelet would tell."""
    known = {pod["metadata"]["name"] for pod in admin.pods()}
    starting = start(**changes)
    for pod in new_pods(admin, known):
        admin.say_of_pod(pod, RUNNING)
    return starting.handle()


def new_pods(admin: Admin, known: set[str], count: int = 1) -> list[Json]:
    def found() -> list[Json] | None:
        pods = [pod for pod in admin.pods() if pod["metadata"]["name"] not in known]
        return pods if len(pods) >= count else None

    return eventually(found, what="new pods are made")


def versions(admin: Admin, *kinds: str) -> dict[str, tuple[str, Any]]:
    return {
        name: (found["metadata"]["resourceVersion"], found["metadata"].get("generation"))
        for name, found in admin.objects().items()
        if name.split("/")[0] in kinds
    }


UNTOUCHED = ("Deployment", "ReplicaSet", "Service", "Secret", "NetworkPolicy", "PodDisruptionBudget")
MADE = {*UNTOUCHED, "HorizontalPodAutoscaler"} - {"ReplicaSet"}


def test_a_start_makes_the_objects_and_a_stop_removes_all(
    admin: Admin, runtime: KubernetesRuntime, start: Start
) -> None:
    handle = started(admin, start)
    assert handle.endpoint == f"http://{NAME}.{admin.namespace}.svc:9000/mcp"
    assert {name for name in admin.objects() if name.split("/")[0] in MADE} == {
        f"{kind}/{NAME}" for kind in ("Deployment", "Service", "Secret", "NetworkPolicy")
    }
    runtime.stop(handle, grace=0)
    eventually(lambda: not admin.objects(), what="nothing is left")
    runtime.stop(handle, grace=0)


def test_the_api_server_keeps_what_confines_a_pod(admin: Admin, start: Start) -> None:
    """It drops fields that it does not know without a word."""
    started(admin, start)
    found, wanted = admin.a_pod()["spec"], test_manifests.pod()
    [container], [expected] = found["containers"], wanted["containers"]
    assert found["securityContext"] == wanted["securityContext"]
    assert container["securityContext"] == expected["securityContext"]
    assert container["resources"] == expected["resources"]
    assert container["startupProbe"].items() >= expected["startupProbe"].items()
    assert found["affinity"] == wanted["affinity"]
    for name in ("automountServiceAccountToken", "enableServiceLinks", "shareProcessNamespace"):
        assert found[name] == wanted[name]
    assert all("serviceaccount" not in mount["mountPath"] for mount in container["volumeMounts"])


@pytest.mark.parametrize("shape", [Shape(replicas=2, egress=("198.51.100.0/24",)), Shape(max_replicas=4)])
def test_a_second_apply_changes_nothing(admin: Admin, shape: Shape) -> None:
    runtime = make(admin)
    starting = Starting(runtime, spec(shape=shape), Deadline.of(60))
    for pod in new_pods(admin, set(), shape.replicas):
        admin.say_of_pod(pod, RUNNING)
    starting.handle()
    eventually(lambda: settled(admin), what="the controllers have said what they see")
    before, ours = versions(admin, *UNTOUCHED), applied(admin)
    Starting(runtime, spec(shape=shape), Deadline.of(60)).handle()
    assert (versions(admin, *UNTOUCHED), applied(admin)) == (before, ours)
    assert len(ours) == 5 + shape.scales


def applied(admin: Admin) -> dict[str, list[Json]]:
    """What we own of each object, and since when."""
    found = {}
    for name, each in admin.objects().items():
        ours = [f for f in each["metadata"]["managedFields"] if f["manager"] == "mcphost"]
        if ours:
            found[name] = ours
    return found


def settled(admin: Admin) -> bool:
    """The controllers have seen all there is, and nothing was written to it for two looks in a row."""
    first = versions(admin, *UNTOUCHED, "Pod")
    threading.Event().wait(1)
    seen = all(is_seen(name.split("/")[0], found) for name, found in admin.objects().items())
    return seen and versions(admin, *UNTOUCHED, "Pod") == first


def is_seen(kind: str, found: Json) -> bool:
    status, wanted = found.get("status", {}), found.get("spec", {}).get("replicas")
    if kind == "PodDisruptionBudget":
        return bool(status.get("expectedPods"))
    if kind not in ("Deployment", "ReplicaSet"):
        return True
    current = status.get("observedGeneration") == found["metadata"]["generation"]
    return current and status.get("replicas", 0) == wanted


def test_what_a_person_changed_beside_our_fields_survives(admin: Admin, start: Start) -> None:
    started(admin, start)
    body: Any = {
        "metadata": {"labels": {"team": "tools"}},
        "spec": {
            "minReadySeconds": 5,
            "template": {"spec": {"containers": [{"name": "server", "image": "x"}]}},
        },
    }
    admin.apps.patch_namespaced_deployment(NAME, admin.namespace, body)
    start().handle()  # the first pod still runs, of the image that is put back
    found = admin.objects()[f"Deployment/{NAME}"]
    assert found["metadata"]["labels"]["team"] == "tools"
    assert found["spec"]["minReadySeconds"] == 5
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == test_manifests.IMAGE


def test_an_autoscalers_replicas_survive(admin: Admin) -> None:
    runtime, wanted = make(admin), spec(shape=Shape(replicas=1, max_replicas=4))
    started(admin, lambda **_: Starting(runtime, wanted, Deadline.of(60)))
    scaled: Any = {"spec": {"replicas": 3}}
    admin.apps.patch_namespaced_deployment_scale(NAME, admin.namespace, scaled)
    Starting(runtime, wanted, Deadline.of(60)).handle()
    assert admin.objects()[f"Deployment/{NAME}"]["spec"]["replicas"] == 3


def test_runs_of_two_deployments_lie_side_by_side(
    admin: Admin, runtime: KubernetesRuntime, start: Start
) -> None:
    first = started(admin, start)
    second = started(admin, start, deployment_id=43, number=4, run_id=43)
    runtime.stop(first, grace=0)
    assert runtime.poll(second).alive
    assert not runtime.poll(first).alive
    assert {stray.deployment_id for stray in runtime.strays()} == {43}


def test_strays_are_found_by_label_and_can_be_stopped(
    admin: Admin, runtime: KubernetesRuntime, start: Start
) -> None:
    handle = started(admin, start)
    other = KubernetesRuntime(Placement("another-one", admin.namespace))
    assert other.strays() == []
    [stray] = runtime.strays()
    assert (stray.server_id, stray.deployment_id, stray.handle) == (7, 42, handle)
    runtime.stop(stray.handle, grace=0)
    assert runtime.strays() == []


def test_what_is_left_of_a_run_is_found_and_removed(
    admin: Admin, runtime: KubernetesRuntime, start: Start
) -> None:
    """As after a start that the API server left in the middle: it has no Deployment."""
    started(admin, start)
    admin.apps.delete_namespaced_deployment(NAME, admin.namespace)
    eventually(lambda: not admin.pods(), what="its pods are gone")
    [stray] = runtime.strays()
    runtime.stop(stray.handle, grace=0)
    assert not admin.objects()


# --- What keeps it from running, within seconds


def test_no_node_is_a_reason_and_leaves_nothing(admin: Admin) -> None:
    starting = Starting(make(admin, patience=0.5), spec(), Deadline.of(60))
    fault = starting.fault()
    assert isinstance(fault, RuntimeFault)
    assert "No node takes the server: " in fault.message
    assert "no nodes available" in fault.message
    assert any("No node takes the server" in line for line in starting.lines)
    eventually(lambda: not admin.objects(), what="nothing is left")


@pytest.fixture
def stub(admin: Admin) -> Iterator[str]:
    """A node for linux/arm64 that nothing runs behind."""
    name = f"node-{uuid.uuid4().hex[:6]}"
    labels = {"kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux"}
    body: Any = {"metadata": {"name": name, "labels": labels}}
    admin.core.create_node(body)
    status: Any = {
        "status": {
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": "20"},
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "20"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": "said so"}],
        }
    }
    admin.core.patch_node_status(name, status)
    eventually(lambda: not admin.core.read_node(name).spec.taints, what="the cluster takes it for ready")
    yield name
    admin.core.delete_node(name)


def test_only_a_node_of_a_published_platform_is_taken(admin: Admin, stub: str) -> None:
    arm = Starting(make(admin), spec(), Deadline.of(60))
    [pod] = new_pods(admin, set())
    eventually(lambda: admin.pods()[0]["spec"].get("nodeName") == stub, what="the node takes it")
    admin.say_of_pod(pod, RUNNING)
    arm.handle()
    amd = Starting(
        make(admin, patience=0.5),
        spec(platforms=("linux/amd64",), deployment_id=43, run_id=43),
        Deadline.of(60),
    )
    assert "affinity" in str(amd.fault())


@pytest.mark.parametrize(
    ("state", "more", "says"),
    [
        (
            {"waiting": {"reason": "ErrImagePull", "message": "failed to pull: 401 Unauthorized"}},
            {},
            "K8S_REGISTRY_SECRET_NAME",
        ),
        (
            {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}},
            {},
            'secret "x" not found',
        ),
        (
            {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
            {"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "restartCount": 2},
            "Raise its memory limit.",
        ),
        (
            {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
            {"lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "boom"}}},
            "It wrote last: “boom”",
        ),
    ],
)
def test_what_a_kubelet_says_for_good_ends_the_start(
    admin: Admin, start: Start, state: Json, more: Json, says: str
) -> None:
    starting = start()
    [pod] = new_pods(admin, set())
    admin.say_of_pod(pod, state, **more)
    assert says in str(starting.fault())
    eventually(lambda: not admin.objects(), what="nothing is left")


def test_why_a_pull_failed_is_found_between_two_tries(admin: Admin, start: Start) -> None:
    starting = start()
    [pod] = new_pods(admin, set())
    admin.warn_of_pod(pod, "Failed", 'Failed to pull image "x": rpc error: code = Unknown: 401 Unauthorized')
    back_off = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}}
    admin.say_of_pod(pod, back_off)
    assert "K8S_REGISTRY_SECRET_NAME" in str(starting.fault())


def test_a_quota_is_a_reason(admin: Admin, start: Start) -> None:
    body: Any = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "0"}}}
    admin.core.create_namespaced_resource_quota(admin.namespace, body)
    eventually(
        lambda: admin.core.read_namespaced_resource_quota("small", admin.namespace).status.hard,
        what="the quota is in force",
    )
    assert "The namespace's quota is used up" in str(start().fault())


def test_a_missing_service_account_is_a_reason(admin: Admin) -> None:
    runtime = KubernetesRuntime(Placement(INSTANCE, admin.namespace, service_account="absent"))
    fault = Starting(runtime, spec(), Deadline.of(60)).fault()
    assert 'serviceaccount "absent" not found' in str(fault)


def test_what_the_api_server_does_not_accept_is_told(admin: Admin, start: Start) -> None:
    fault = start(port=70_000).fault()
    assert "must be between 1 and 65535" in str(fault)
    assert not admin.objects()


def test_a_namespace_that_is_not_there_is_told(admin: Admin) -> None:
    runtime = KubernetesRuntime(Placement(INSTANCE, "nowhere"))
    fault = Starting(runtime, spec(), Deadline.of(60)).fault()
    assert 'namespaces "nowhere" not found' in str(fault)
    assert "K8S_NAMESPACE" in str(fault)


def test_an_image_of_the_engine_alone_is_refused(admin: Admin, start: Start) -> None:
    fault = start(image="sha256:" + "1" * 64).fault()
    assert "Set REGISTRY and redeploy." in str(fault)
    assert not admin.objects()


@dataclass(frozen=True)
class Ending(Deadline):
    """Its time is over when the test says so."""

    over: threading.Event = field(default_factory=threading.Event)

    def remaining(self) -> float:
        return 0.0 if self.over.is_set() else super().remaining()


def test_a_timeout_says_what_the_cluster_warned_of(admin: Admin, start: Start) -> None:
    """Without a kubelet the scheduler's warning is the only one."""
    deadline = Ending.of(60)
    starting = start(deadline=deadline)
    eventually(
        lambda: [told.reason for told in admin.core.list_namespaced_event(admin.namespace).items].count(
            "FailedScheduling"
        ),
        what="the scheduler has warned",
    )
    deadline.over.set()
    fault = starting.fault()
    assert "took longer than it may" in fault.message
    assert "The cluster says: FailedScheduling: " in fault.message


def test_a_cancel_ends_a_start_that_waits(admin: Admin, start: Start) -> None:
    wanted = threading.Event()
    starting = start(deadline=Deadline.of(60, wanted.is_set))
    new_pods(admin, set())
    wanted.set()
    assert isinstance(starting.fault(), Cancelled)
    eventually(lambda: not admin.objects(), what="nothing is left")


# --- While it runs


def test_a_run_is_alive_while_a_pod_is_ready(admin: Admin, runtime: KubernetesRuntime, start: Start) -> None:
    handle = started(admin, start)
    assert runtime.poll(handle).alive
    crash = {"terminated": {"exitCode": 3, "reason": "Error"}}
    admin.say_of_pod(
        admin.a_pod(), {"waiting": {"reason": "CrashLoopBackOff"}}, lastState=crash, restartCount=2
    )
    status = runtime.poll(handle)
    assert (status.alive, status.exit_code) == (False, 3)
    assert "exited with code 3" in status.reason


def test_a_run_whose_pods_find_no_node_any_more_says_so(
    admin: Admin, runtime: KubernetesRuntime, start: Start
) -> None:
    handle = started(admin, start)
    assert runtime.survey([handle]) == [RunStatus(alive=True)]
    admin.core.delete_namespaced_pod(admin.a_pod()["metadata"]["name"], admin.namespace)

    def told() -> RuntimeFault | None:
        [found] = runtime.survey([handle])
        return found if isinstance(found, RuntimeFault) else None

    fault = eventually(told, what="the survey says that nothing runs")
    assert "No node takes the server" in fault.message
    assert not fault.permanent


def test_a_deployment_that_someone_deleted_is_gone(
    admin: Admin, runtime: KubernetesRuntime, start: Start
) -> None:
    handle = started(admin, start)
    admin.apps.delete_namespaced_deployment(NAME, admin.namespace)
    assert runtime.poll(handle).reason == "Its Deployment is gone."


def test_a_pod_without_a_node_has_no_output_and_no_numbers(
    admin: Admin, runtime: KubernetesRuntime, start: Start
) -> None:
    handle = started(admin, start)
    assert runtime.output(handle, "") == ([], "")
    assert runtime.stats(handle) is None


def test_changes_of_a_run_that_is_watched_are_told(
    admin: Admin, runtime: KubernetesRuntime, start: Start
) -> None:
    other, told = started(admin, start), Told()
    [unwatched] = admin.pods()
    handle = started(admin, start, deployment_id=43, run_id=43)
    [pod] = [each for each in admin.pods() if each["metadata"]["name"] != unwatched["metadata"]["name"]]
    runtime.survey([handle, other])
    runtime.watch([handle], told)
    crash = {"terminated": {"exitCode": 3, "reason": "Error"}}
    for each in (unwatched, pod):
        admin.say_of_pod(each, crash, restartCount=2)
    assert told.soon()
    [status] = runtime.survey([handle])
    assert isinstance(status, RunStatus)
    assert status.exit_code == 3
    assert told.times == 1
    runtime.stop(handle, grace=0)
    assert told.soon()
    runtime.watch([], told)


def test_a_run_without_a_pod_that_writes_is_asked(
    admin: Admin, runtime: KubernetesRuntime, start: Start
) -> None:
    handle = started(admin, start)
    assert runtime.may_have_output(handle, "")
    runtime.survey([handle])
    runtime.watch([handle], lambda: None)
    assert runtime.output(handle, "") == ([], "")
    eventually(lambda: runtime.may_have_output(handle, ""), what="no log could be followed")
    runtime.watch([], lambda: None)
    eventually(lambda: not threads("pod-log"), what="all threads have ended")


# --- Rights


def test_the_role_suffices(admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grant_role(admin)
    monkeypatch.setenv("KUBECONFIG", str(admin.kubeconfig_of("mcphost", tmp_path)))
    runtime = make(admin)
    assert runtime.capability().found, runtime.capability()
    starting = Starting(runtime, spec(shape=Shape(replicas=2, max_replicas=3)), Deadline.of(60))
    admin.say_of_pod(new_pods(admin, set())[0], RUNNING)
    handle = starting.handle()
    assert runtime.poll(handle).alive
    assert runtime.output(handle, "") == ([], "")
    assert runtime.stats(handle) is None
    assert len(runtime.strays()) == 1
    runtime.stop(handle, grace=0)
    eventually(lambda: not admin.objects(), what="nothing is left")


def grant_role(admin: Admin) -> None:
    """Exactly what deploy/kubernetes/role.yaml holds, once it is in force."""
    utils.create_from_yaml(admin.api, str(ROLE), namespace=admin.namespace)
    eventually(lambda: admin.may("mcphost", "patch", "deployments"), what="the role is in force")


def test_what_is_not_allowed_is_named_before_and_at_the_start(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(admin.kubeconfig_of("default", tmp_path)))
    runtime = make(admin)
    found = runtime.capability()
    assert not found.found
    assert "deploy/kubernetes/role.yaml" in found.advice
    assert "patch deployments" in found.advice
    fault = Starting(runtime, spec(), Deadline.of(60)).fault()
    assert "deploy/kubernetes/role.yaml" in str(fault)
    assert "cannot patch resource" in str(fault)


def test_capability_names_the_cluster(admin: Admin, runtime: KubernetesRuntime) -> None:
    found = runtime.capability()
    assert found.found
    assert found.detail == f"Kubernetes v1.20.2, namespace {admin.namespace}"


def test_a_wrong_context_is_named(admin: Admin) -> None:
    found = make(admin, context="elsewhere").capability()
    assert not found.found
    assert "elsewhere" in found.detail
    assert str(admin.kubeconfig) in found.detail


def test_a_secret_is_in_no_object_but_the_secret(admin: Admin, start: Start) -> None:
    started(admin, start)
    shown = {name for name, found in admin.objects().items() if "s3cret" in str(found)}
    assert shown == set()
    assert admin.secret(NAME)["data"]["API_KEY"] == "czNjcmV0"
