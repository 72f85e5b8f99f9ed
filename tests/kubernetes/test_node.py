"""The runtime where pods run: what a kubelet does, and an API server that goes away in the middle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.stream import stream

from deploy.bench.kubernetes import ControlPlane
from deploy.bench.kubernetes_node import Node
from deploy.bench.registry import Registry
from hosting.deadline import Deadline
from hosting.errors import RuntimeFault
from hosting.runtimes.base import Handle, Limits, RunSpec, RunStatus, Shape, Volume
from hosting.runtimes.kubernetes import KubernetesRuntime
from hosting.runtimes.kubernetes_manifests import Placement
from registry.client import RegistryClient
from registry.credentials import CredentialStore
from registry.reference import Reference
from servers.deploying import pull_secret
from tests.eventually import eventually
from tests.hosting.runtimes.told import threads
from tests.kubernetes import test_manifests
from tests.kubernetes.conftest import Admin, Json
from tests.kubernetes.test_runtime import INSTANCE, Starting

pytestmark = [pytest.mark.kubernetes, pytest.mark.real]

ABSENT = "@sha256:" + "1" * 64


@pytest.fixture
def runtime(cluster: Admin) -> KubernetesRuntime:
    return KubernetesRuntime(Placement(INSTANCE, cluster.namespace, pull_secret="pull"))


@pytest.fixture(scope="session")
def busybox(base_images: dict[str, str]) -> str:
    """By digest, at a registry that the node reaches."""
    wanted = Reference.parse(base_images["busybox"])
    client = RegistryClient(wanted.host, credentials=CredentialStore(None))
    return f"{wanted.endpoint}@{client.head_manifest(wanted).digest}"


def shell(image: str, script: str, **changes: Any) -> RunSpec:
    command = ("sh", "-c", script)
    return test_manifests.spec(image=image, command=command, platforms=(), **changes)


def started(runtime: KubernetesRuntime, spec: RunSpec) -> Handle:
    return runtime.start(spec, deadline=Deadline.of(90), log=lambda _: None)


def surveyed(runtime: KubernetesRuntime, handle: Handle) -> RunStatus:
    [found] = runtime.survey([handle])
    if isinstance(found, RuntimeFault):
        raise found
    return found


def why(runtime: KubernetesRuntime, spec: RunSpec) -> str:
    return str(Starting(runtime, spec, Deadline.of(90)).fault())


class Output:
    """All that was read of a run so far."""

    def __init__(self, runtime: KubernetesRuntime, handle: Handle) -> None:
        self._runtime, self._handle, self._cursor = runtime, handle, ""
        self.lines: list[str] = []

    def read(self) -> list[str]:
        found, self._cursor = self._runtime.output(self._handle, self._cursor)
        self.lines += [line.text for line in found]
        return self.lines


# --- Output


def test_lines_of_a_container_that_was_restarted_are_kept(runtime: KubernetesRuntime, busybox: str) -> None:
    script = 'for n in 1 2 3; do echo "$(cat /proc/sys/kernel/random/uuid) $n"; done; sleep 2; exit 1'
    handle = started(runtime, shell(busybox, script))
    output = Output(runtime, handle)
    eventually(lambda: len(output.read()) >= 6, within=120, what=f"two lives are read: {output.lines}")
    assert [line.split()[1] for line in output.lines[:6]] == ["1", "2", "3"] * 2
    assert len(set(output.lines)) == len(output.lines)


def test_lines_of_all_replicas_are_read_and_name_their_pod(
    cluster: Admin, runtime: KubernetesRuntime, busybox: str
) -> None:
    spec = shell(busybox, "echo here; sleep 600", shape=Shape(replicas=2))
    output = Output(runtime, started(runtime, spec))
    eventually(lambda: len(output.read()) == 2, within=120, what=f"both are read: {output.lines}")
    assert set(output.lines) == {f"[{pod['metadata']['name']}] here" for pod in cluster.pods()}


class Reader(Output):
    """Watches and reads as the platform does: it surveys after each change, and reads what may have lines."""

    def __init__(self, runtime: KubernetesRuntime, handle: Handle) -> None:
        super().__init__(runtime, handle)
        self._changed = threading.Event()
        self._changed.set()

    def look(self) -> list[str]:
        if self._changed.is_set():
            self._changed.clear()
            self._runtime.survey([self._handle])
            self._runtime.watch([self._handle], self._changed.set)
        return self.read() if self.may_have_more() else self.lines

    def may_have_more(self) -> bool:
        return self._runtime.may_have_output(self._handle, self._cursor)

    def is_silent(self) -> bool:
        self.look()
        return not self.may_have_more()


@pytest.fixture
def reader(runtime: KubernetesRuntime, busybox: str) -> Iterator[Callable[[str], Reader]]:
    yield lambda script: Reader(runtime, started(runtime, shell(busybox, script)))
    runtime.watch([], lambda: None)
    eventually(lambda: not threads("pod-log"), within=150, what="all threads have ended")


def test_a_silent_pod_is_not_read_until_it_writes(cluster: Admin, reader: Callable[[str], Reader]) -> None:
    found = reader("echo one; until [ -e /tmp/go ]; do sleep 0.2; done; echo two; sleep 600")
    eventually(lambda: found.is_silent() and found.lines, what="it has nothing more to say")
    assert found.lines == ["one"]
    run_in(cluster, cluster.a_pod(), "touch", "/tmp/go")
    eventually(lambda: found.look() == ["one", "two"], what=f"it has written: {found.lines}")
    eventually(found.is_silent, what="all of it was read")


def test_lines_of_two_lives_come_by_themselves(reader: Callable[[str], Reader]) -> None:
    found = reader('for n in 1 2 3; do echo "$(cat /proc/sys/kernel/random/uuid) $n"; sleep 1; done; exit 1')
    eventually(lambda: len(found.look()) >= 6, within=120, what=f"two lives are read: {found.lines}")
    assert [line.split()[1] for line in found.lines[:6]] == ["1", "2", "3"] * 2
    assert len(set(found.lines)) == len(found.lines)


def test_the_first_line_of_a_pod_is_noticed(cluster: Admin, reader: Callable[[str], Reader]) -> None:
    found = reader("until [ -e /tmp/go ]; do sleep 0.2; done; echo first; sleep 600")
    eventually(found.is_silent, what="it has said nothing yet")
    run_in(cluster, cluster.a_pod(), "touch", "/tmp/go")
    eventually(lambda: found.look() == ["first"], what="it has written")


def run_in(cluster: Admin, pod: Json, *command: str) -> None:
    wanted = {"command": list(command), "stderr": True, "stdout": True, "stdin": False, "tty": False}
    stream(cluster.core.connect_get_namespaced_pod_exec, pod["metadata"]["name"], cluster.namespace, **wanted)


# --- What keeps it from running


def test_an_image_that_is_not_at_the_registry(runtime: KubernetesRuntime, registry_plain: Registry) -> None:
    reason = why(runtime, shell(f"{registry_plain.host}/kube/none{ABSENT}", "true"))
    assert "The image is not at the registry." in reason


def test_a_pull_secret_that_is_wrong_and_is_patched(
    cluster: Admin, runtime: KubernetesRuntime, registry_basic: Registry, tmp_path: Path
) -> None:
    spec = shell(f"{registry_basic.host}/kube/none{ABSENT}", "true")
    reason = why(runtime, spec)
    assert "The registry does not let the nodes pull the image." in reason
    assert "K8S_REGISTRY_SECRET_NAME" in reason

    config = tmp_path / "config.json"
    login = {"username": registry_basic.username, "password": registry_basic.password}
    config.write_text(str({"auths": {registry_basic.host: login}}).replace("'", '"'))
    assert pull_secret.patch(name="pull", namespace=cluster.namespace, config_path=config)
    assert "The image is not at the registry." in why(runtime, spec)  # it was let in, and looked


def test_out_of_memory(runtime: KubernetesRuntime, busybox: str) -> None:
    handle = started(runtime, shell(busybox, "sleep 1; tail /dev/zero", limits=Limits(memory_mb=32)))
    eventually(
        lambda: "ran out of memory" in runtime.poll(handle).reason, within=120, what="its end is explained"
    )


# --- While it runs


def test_a_pod_is_confined_and_cannot_reach_what_it_was_not_given(
    runtime: KubernetesRuntime, busybox: str
) -> None:
    script = """
        id -u; touch /file 2>&1; touch /tmp/file && echo tmp; ls /var/run/secrets 2>&1
        grep -E "^(CapEff|NoNewPrivs|Seccomp):" /proc/self/status; sleep 600
    """
    output = Output(runtime, started(runtime, shell(busybox, script)))
    eventually(lambda: len(output.read()) >= 7, within=120, what=f"it has looked: {output.lines}")
    uid, denied, tmp, no_token, capabilities, privileges, seccomp = (each.split() for each in output.lines)
    assert (uid, tmp) == (["10001"], ["tmp"])
    assert denied[-1] == "system"  # Read-only file system
    assert no_token[-1] == "directory"  # No such file or directory
    assert (int(capabilities[1], 16), privileges[1], seccomp[1]) == (0, "1", "2")


def test_the_words_of_a_command_arrive_as_they_are(runtime: KubernetesRuntime, busybox: str) -> None:
    output = Output(runtime, started(runtime, shell(busybox, "echo 'kept: $(HOME) $$'; sleep 600")))
    eventually(lambda: output.read(), within=120, what="it has written")
    assert output.lines == ["kept: $(HOME) $$"]


def test_a_volume_keeps_what_was_written_over_deployments(
    cluster: Admin, runtime: KubernetesRuntime, busybox: str, tmp_path: Path
) -> None:
    volume = cluster.volume("kept", tmp_path / "volume")
    shape = Shape(volume=Volume(16, "/data", "kept"))
    script = "echo once more >> /data/notes; cat /data/notes; sleep 600"
    first = started(runtime, shell(busybox, script, shape=shape))
    eventually(lambda: (tmp_path / "volume/notes").exists(), what="the first has written")
    second = started(runtime, shell(busybox, script, shape=shape, deployment_id=43, number=4, run_id=43))
    output = Output(runtime, second)
    eventually(lambda: output.read() == ["once more"] * 2, within=120, what=f"both wrote: {output.lines}")
    for handle in (first, second):
        runtime.stop(handle, grace=0)
    assert any(name.startswith("PersistentVolumeClaim/") for name in cluster.objects())
    runtime.forget(7)
    eventually(lambda: not cluster.objects(), within=120, what="nothing is left")
    cluster.core.delete_persistent_volume(volume)


# --- An API server that goes away


def test_a_start_survives_an_api_server_that_restarts_in_the_middle(
    cluster: Admin, runtime: KubernetesRuntime, node: tuple[ControlPlane, Node], busybox: str
) -> None:
    plane, _ = node
    runtime.capability()
    starting = Starting(runtime, shell(busybox, "echo up; sleep 600"), Deadline.of(120))
    eventually(lambda: "Applied Deployment" in str(starting.lines), what="the rollout is under way")
    with plane.api_away():
        time.sleep(1)
    handle = starting.handle(within=120)
    assert eventually(lambda: runtime.poll(handle).alive, within=120)
    output = Output(runtime, handle)
    eventually(lambda: "up" in output.read(), within=120, what="it is read again")


def test_a_survey_sees_on_through_a_restart_of_the_api_server(
    cluster: Admin, runtime: KubernetesRuntime, node: tuple[ControlPlane, Node], busybox: str
) -> None:
    plane, _ = node
    handle = started(runtime, shell(busybox, "httpd -f -p 9000", shape=Shape(max_replicas=2)))
    assert surveyed(runtime, handle).alive
    with plane.api_away():
        until = time.monotonic() + 2
        while time.monotonic() < until:  # what was seen last holds for a while
            assert surveyed(runtime, handle).alive
    scaled: Any = {"spec": {"replicas": 2}}
    cluster.apps.patch_namespaced_deployment_scale(handle.data["name"], cluster.namespace, scaled)

    eventually(
        lambda: len(surveyed(runtime, handle).endpoints) == 2,
        within=120,
        what="the survey sees the second pod",
    )
