"""What a pod's status says, on dicts as the API server gives them."""

from __future__ import annotations

from typing import Any

import pytest

from hosting.runtimes import kube_pods
from hosting.runtimes.kube_pods import PodState


def pod(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    status = {"phase": "Pending", "containerStatuses": [{"name": "server", "state": state, **more}]}
    return {"metadata": {"name": "weather-1"}, "status": status}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return pod({"waiting": {"reason": reason, "message": message}})


def crashed(**ended: Any) -> PodState:
    back_off = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}}
    return kube_pods.state_of(pod(back_off, lastState={"terminated": ended}))


def told(state: PodState) -> str:
    assert state.fault
    return str(state.fault)


@pytest.mark.parametrize(
    ("text", "permanent"),
    [
        ('secret "x" not found', True),
        ("failed to sync secret cache: timed out waiting for the condition", False),
        ("rpc error: code = DeadlineExceeded desc = context deadline exceeded", False),
        ('failed to reserve container name server_x: name "server_x" is reserved for "1f"', False),
    ],
)
def test_what_a_node_tries_again_by_itself_is_waited_for(text: str, permanent: bool) -> None:
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": text}}
    fault = kube_pods.state_of(pod(waiting)).fault
    assert fault
    assert fault.permanent is permanent


def test_a_container_that_runs() -> None:
    assert kube_pods.state_of(pod({"running": {}}, ready=False)) == PodState("weather-1", started=True)
    assert kube_pods.state_of(pod({"running": {}}, ready=True)) == PodState(
        "weather-1", started=True, ready=True
    )


def test_a_sidecar_is_not_the_server() -> None:
    both = pod({"running": {}}, ready=True)
    broken = {"name": "mesh", "state": {"waiting": {"reason": "InvalidImageName"}}}
    both["status"]["containerStatuses"].insert(0, broken)
    assert kube_pods.state_of(both).ready


def test_what_is_still_being_made_is_no_fault() -> None:
    assert kube_pods.state_of(waiting("ContainerCreating")) == PodState("weather-1")
    assert kube_pods.state_of({"metadata": {"name": "weather-1"}}) == PodState("weather-1")


PULL = "rpc error: code = Unknown desc = failed to pull and unpack image"


@pytest.mark.parametrize(
    ("text", "says", "permanent"),
    [
        (f"{PULL}: 401 Unauthorized", "does not let the nodes pull", True),
        (f"{PULL}: pull access denied, repository does not exist", "does not let the nodes pull", True),
        (f"{PULL}: registry/x:nope: not found", "not at the registry", True),
        (f"{PULL}: no match for platform in manifest", "REGISTRY_ARCH_TARGETS", True),
        (f"{PULL}: http: server gave HTTP response to HTTPS client", "speaks http", True),
        (f"{PULL}: x509: certificate signed by unknown authority", "certificate", True),
        (f"{PULL}: dial tcp 127.0.0.1:1: connect: connection refused", "reach the registry", False),
        ('Back-off pulling image "registry/x"', "reach the registry", False),
    ],
)
def test_an_image_that_does_not_come(text: str, says: str, permanent: bool) -> None:
    state = kube_pods.state_of(waiting("ErrImagePull", text))
    assert says in told(state)
    assert state.fault
    assert state.fault.permanent is permanent
    assert not state.backs_off
    assert kube_pods.state_of(waiting("ImagePullBackOff", text)).backs_off


@pytest.mark.parametrize(
    "reason", ["InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"]
)
def test_a_container_that_cannot_be_made_never_will(reason: str) -> None:
    state = kube_pods.state_of(waiting(reason, 'secret "gone" not found'))
    assert 'secret "gone" not found' in told(state)
    assert state.fault
    assert state.fault.permanent


def test_a_crash_tells_its_code_and_last_lines() -> None:
    state = crashed(exitCode=3, reason="Error", message="one\ntwo\nboom\n")
    assert "exited with code 3" in told(state)
    assert "“one ⏎ two ⏎ boom”" in told(state)
    assert state.exit_code == 3
    assert state.fault
    assert state.fault.permanent


def test_out_of_memory_says_what_to_raise() -> None:
    assert "Raise its memory limit." in told(crashed(exitCode=137, reason="OOMKilled"))


def test_a_first_crash_may_be_bad_luck() -> None:
    state = kube_pods.state_of(pod({"terminated": {"exitCode": 1, "reason": "Error"}}))
    assert state.fault
    assert not state.fault.permanent


@pytest.mark.parametrize(("finished", "permanent"), [("17:05:35", True), ("19:05:35", False)])
def test_a_second_crash_is_none_unless_it_ran_for_long(finished: str, permanent: bool) -> None:
    times = {"startedAt": "2026-11-22T17:05:32Z", "finishedAt": f"2026-11-22T{finished}Z"}
    state = kube_pods.state_of(pod({"terminated": {"exitCode": 1, **times}}, restartCount=1))
    assert state.fault
    assert state.fault.permanent is permanent


def test_an_evicted_pod_says_why() -> None:
    status = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    state = kube_pods.state_of({"metadata": {"name": "weather-1"}, "status": status})
    assert "Evicted: The node was low on resource: memory." in told(state)


def test_what_was_evicted_and_replaced_does_not_count() -> None:
    evicted = {"metadata": {"name": "a"}, "status": {"phase": "Failed", "reason": "Evicted"}}
    ending = {**pod({"running": {}}), "metadata": {"name": "b", "deletionTimestamp": "2026-11-22T17:05:32Z"}}
    living = pod({"running": {}}, ready=True)
    assert kube_pods.states([evicted, ending, living]) == [PodState("weather-1", started=True, ready=True)]
    [alone] = kube_pods.states([evicted, ending])
    assert "Evicted" in told(alone)


def test_unschedulable_says_what_the_scheduler_says() -> None:
    text = "0/3 nodes are available: 3 Insufficient memory."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text}
    state = kube_pods.state_of({"metadata": {"name": "weather-1"}, "status": {"conditions": [condition]}})
    assert text in told(state)
    assert "lower the server's limits" in told(state)


def test_a_quota_is_named() -> None:
    text = 'pods "weather-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1'
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": text}
    fault = kube_pods.refusal({"status": {"conditions": [condition]}})
    assert fault
    assert "quota" in fault.hint


def test_the_worst_of_several_pods_explains() -> None:
    soft = PodState("a", fault=kube_pods.state_of(waiting("ErrImagePull", "connection refused")).fault)
    hard = crashed(exitCode=1)
    assert kube_pods.worst([PodState("b", started=True), soft, hard]) is hard
    assert kube_pods.worst([PodState("b", started=True)]) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("250m", 0.25), ("1", 1.0), ("12345678n", 0.012345678), ("64Mi", 64 * 2**20), ("2k", 2000.0)],
)
def test_quantities(text: str, value: float) -> None:
    assert kube_pods.quantity(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (
            'pods "w-1" is forbidden: violates PodSecurity "restricted": seccomp',
            "rule of the namespace",
        ),
        ('pods "w-1" is forbidden: maximum cpu usage per Container is 500m', "rule of the namespace"),
        ('admission webhook "no.example" denied the request: not here', "rule of the namespace"),
        (
            'pods "w-1" is forbidden: error looking up service account x/y: serviceaccount "y" not found',
            "correct K8S_SERVICE_ACCOUNT",
        ),
        ('pods "w-1" is forbidden: User "u" cannot create resource "pods"', "deploy/kubernetes/role.yaml"),
    ],
)
def test_who_refuses_a_pod_decides_what_helps(text: str, hint: str) -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": text}
    fault = kube_pods.refusal({"status": {"conditions": [condition]}})
    assert fault
    assert text in fault.message
    assert hint in fault.hint


def test_a_pod_of_a_lost_node_is_not_ready() -> None:
    """Its container's status stays as the kubelet wrote it last."""
    lost = pod({"running": {}}, ready=True)
    lost["status"]["conditions"] = [{"type": "Ready", "status": "False", "reason": "NodeNotReady"}]
    assert kube_pods.state_of(lost) == PodState("weather-1", started=True, ready=False)
