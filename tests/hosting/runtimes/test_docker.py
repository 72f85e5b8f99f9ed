from __future__ import annotations

import io
import socket
import tarfile
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import docker
import pytest

from deploy.bench.engine import Engine
from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.registry import Registry
from hosting.deadline import Deadline
from hosting.errors import Cancelled, RuntimeFault
from hosting.runtimes import docker_spec
from hosting.runtimes.base import Handle, ImagePull, Limits, RunSpec, RunStatus
from hosting.runtimes.docker import DockerRuntime
from registry.reference import Reference
from tests.eventually import eventually
from tests.hosting.runtimes.programs import all_output, deadline, ended, texts
from tests.hosting.runtimes.told import Told, threads

pytestmark = pytest.mark.real

SERVE = ("sh", "-c", "echo up; exec httpd -f -p $HOST:$PORT -h /etc")


# The header of a program for a processor that no emulator is registered for (s390).
ALIEN = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + b"\x02\0\x16\0\x01".ljust(48, b"\0")


def _archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def program(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


@pytest.fixture
def image(busybox_image: Callable[[str], str]) -> str:
    return busybox_image("linux/amd64")


@pytest.fixture
def engine(docker_host: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=docker_host)
    yield client
    client.close()


@pytest.fixture
def instance() -> str:
    return uuid.uuid4().hex[:8]


@pytest.fixture
def runtime(docker_host: str, instance: str) -> Iterator[DockerRuntime]:
    runtime = DockerRuntime(docker_host, instance=instance)
    yield runtime
    for stray in runtime.strays():
        runtime.stop(stray.handle, grace=0)


def spec(image: str, **changes: Any) -> RunSpec:
    values: dict[str, Any] = {
        "server_id": 7,
        "slug": "weather",
        "deployment_id": 42,
        "number": 3,
        "run_id": 42,
        "transport": "streamable-http",
        "port": 9000,
        "image": image,
        "command": SERVE,
        "limits": Limits(cpu=0.5, memory_mb=64, pids=32),
    }
    return RunSpec(**{**values, **changes})


def start(runtime: DockerRuntime, image: str, **changes: Any) -> Handle:
    return runtime.start(spec(image, **changes), deadline=deadline(), log=lambda line: None)


def answers(handle: Handle) -> bool:
    try:
        with urllib.request.urlopen(handle.endpoint.replace("/mcp", "/passwd"), timeout=5) as answer:
            return b"root" in answer.read()
    except OSError:
        return False


def container(engine: docker.DockerClient, handle: Handle) -> Mapping[str, Any]:
    return engine.containers.get(handle.data["container"]).attrs


def test_a_server_is_reached_on_loopback_and_gone_after_stop(
    runtime: DockerRuntime, engine: docker.DockerClient, image: str
) -> None:
    handle = start(runtime, image)
    assert handle.endpoint.startswith("http://127.0.0.1:")
    eventually(lambda: answers(handle))
    assert runtime.poll(handle).alive
    eventually(lambda: texts(all_output(runtime, handle)) == ["up"], what="the engine has its line")

    runtime.stop(handle, grace=3)
    with pytest.raises(docker.errors.NotFound):
        container(engine, handle)
    assert not runtime.poll(handle).alive
    assert runtime.output(handle, "") == ([], "0:0")
    assert runtime.stats(handle) is None
    runtime.stop(handle, grace=3)


def test_it_is_confined_for_real(runtime: DockerRuntime, image: str) -> None:
    look = program("id -u; touch /x; touch /tmp/x && echo tmp; grep -E 'CapEff|NoNewPrivs' /proc/self/status")
    handle = start(runtime, image, command=look)
    ended(runtime, handle)
    lines = texts(all_output(runtime, handle))
    assert "10001" in lines
    assert any("Read-only file system" in line for line in lines)
    assert "tmp" in lines
    assert "CapEff:\t0000000000000000" in lines
    assert "NoNewPrivs:\t1" in lines


def test_secrets_are_in_the_environment_and_not_in_the_arguments(
    runtime: DockerRuntime, engine: docker.DockerClient, image: str
) -> None:
    handle = start(runtime, image, environment={"API_KEY": "s3cret"}, command=program("echo $API_KEY"))
    ended(runtime, handle)
    assert texts(all_output(runtime, handle)) == ["s3cret"]
    assert "s3cret" not in str(container(engine, handle)["Args"])


def test_one_that_exits_at_once_leaves_its_last_lines_and_code(runtime: DockerRuntime, image: str) -> None:
    handle = start(runtime, image, command=program("echo starting; echo no config >&2; exit 0"))
    status = ended(runtime, handle)
    assert (status.exit_code, "keep running" in status.reason) == (0, True)
    lines = all_output(runtime, handle)
    assert sorted((line.stream, line.text) for line in lines) == [
        ("stderr", "no config"),
        ("stdout", "starting"),
    ]


def test_a_failing_one_is_restarted_on_the_same_port_and_then_left(
    runtime: DockerRuntime, engine: docker.DockerClient, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_spec, "RESTARTS", 6)  # the engine waits longer each time: it will be seen
    handle = start(runtime, image, command=program("echo once more; sleep 0.5; exit 3"))
    restarting = eventually(lambda: (status := runtime.poll(handle)) and status.reason and status)
    assert restarting.alive
    assert "code 3. Restarting (" in restarting.reason
    ports = eventually(lambda: container(engine, handle)["NetworkSettings"]["Ports"])
    [[bound]] = ports.values()
    assert f"http://127.0.0.1:{bound['HostPort']}/mcp" == handle.endpoint

    status = ended(runtime, handle)
    assert status.exit_code == 3
    assert texts(all_output(runtime, handle)) == ["once more"] * 7


def test_out_of_memory_is_told(runtime: DockerRuntime, image: str) -> None:
    handle = start(runtime, image, command=program("head -c 200m /dev/zero | tail -n 1 | wc -c; exit 0"))
    status = ended(runtime, handle)
    assert "out of memory" in status.reason


def test_a_missing_command_is_a_fault_that_leaves_nothing(runtime: DockerRuntime, image: str) -> None:
    handle = start(runtime, image, command=("/nowhere/server",))
    status = ended(runtime, handle)
    assert status.exit_code == 127
    assert "not found" in status.reason


def test_an_image_for_another_processor_is_told(runtime: DockerRuntime, engine: docker.DockerClient) -> None:
    engine.api.import_image_from_data(
        _archive({"alien": ALIEN, "bin/sh": ALIEN}), repository="mcphost.local/alien", tag="1"
    )
    try:
        status = ended(runtime, start(runtime, "mcphost.local/alien:1", command=("/alien",)))
        assert "another kind of processor" in status.reason
    finally:
        for stray in runtime.strays():
            runtime.stop(stray.handle, grace=0)
        engine.images.remove("mcphost.local/alien:1", force=True)


def test_a_flood_of_lines_comes_whole_and_once(runtime: DockerRuntime, image: str) -> None:
    flood = "i=0; while [ $i -lt 20000 ]; do echo $i; echo $i >&2; i=$((i+1)); done"
    handle = start(runtime, image, command=program(flood), limits=Limits(cpu=0, memory_mb=0, pids=0))
    seen: dict[str, list[str]] = {"stdout": [], "stderr": []}
    cursor, alive = "", True
    while alive:
        alive = runtime.poll(handle).alive
        lines, cursor = runtime.output(handle, cursor)
        for line in lines:
            seen[line.stream].append(line.text)
    expected = [str(number) for number in range(20_000)]
    assert seen == {"stdout": expected, "stderr": expected}
    assert runtime.output(handle, cursor)[0] == []


def test_a_stubborn_one_is_killed(runtime: DockerRuntime, image: str) -> None:
    handle = start(runtime, image, command=program("trap '' TERM; while :; do sleep 1; done"))
    assert runtime.poll(handle).alive
    runtime.stop(handle, grace=0.1)
    assert runtime.strays() == []


def test_stats_are_those_of_the_container(runtime: DockerRuntime, image: str) -> None:
    handle = start(runtime, image, command=program("while :; do :; done"))
    first = runtime.stats(handle)
    assert first
    busy = eventually(lambda: (stats := runtime.stats(handle)) and stats.cpu > 0 and stats)
    assert busy.pids >= 2
    assert 0 < busy.memory_bytes < 64 << 20


def test_strays_are_found_by_label_by_another_platform_process(
    runtime: DockerRuntime, docker_host: str, instance: str, image: str
) -> None:
    handle = start(runtime, image)
    gone = start(runtime, image, command=program("exit 0"), deployment_id=43, run_id=43)
    again = DockerRuntime(docker_host, instance=instance)
    found = {stray.deployment_id: stray for stray in again.strays()}
    assert found[42].handle == handle
    assert found[43].handle == gone
    assert found[42].server_id == 7
    assert DockerRuntime(docker_host, instance="another").strays() == []
    assert again.poll(found[42].handle).alive


def test_on_a_private_network_servers_have_names(
    docker_host: str, engine: docker.DockerClient, image: str
) -> None:
    name = f"hosted-{uuid.uuid4().hex[:8]}"
    network = engine.networks.create(name)
    runtime = DockerRuntime(docker_host, name, instance=name)
    try:
        handle = start(runtime, image)
        server = handle.data["name"]
        assert handle.endpoint == f"http://{server}:9000/mcp"
        fetch = f"until wget -qO- http://{server}:9000/passwd; do sleep 0.1; done"
        said = engine.containers.run(image, ["sh", "-c", fetch], network=name, remove=True)
        assert b"root" in said
        assert not any(container(engine, handle)["NetworkSettings"]["Ports"].values())
    finally:
        for stray in runtime.strays():
            runtime.stop(stray.handle, grace=0)
        network.remove()


def test_a_network_that_is_not_there_is_a_fault_that_leaves_nothing(docker_host: str, image: str) -> None:
    runtime = DockerRuntime(docker_host, "no-such-network", instance="netless")
    with pytest.raises(RuntimeFault, match="network does not exist"):
        start(runtime, image)
    assert runtime.strays() == []


def test_too_many_cpus_are_a_fault_that_leaves_nothing(runtime: DockerRuntime, image: str) -> None:
    with pytest.raises(RuntimeFault, match="limits") as caught:
        start(runtime, image, limits=Limits(cpu=4096))
    assert caught.value.permanent
    assert runtime.strays() == []


def test_an_image_is_pulled_by_digest_with_credentials(
    docker_host: str, engine: docker.DockerClient, image: str, registry_basic: Registry
) -> None:
    repository = f"{registry_basic.host}/pull/busybox"
    credentials = {"username": registry_basic.username, "password": registry_basic.password}
    engine.images.get(image).tag(repository, "1")
    pushed = list(engine.api.push(repository, tag="1", auth_config=credentials, stream=True, decode=True))
    digest = next(each["aux"]["Digest"] for each in pushed if "aux" in each)
    engine.images.remove(f"{repository}:1")
    reference = f"{repository}@{digest}"
    asked: list[Reference] = []

    def auth(ref: Reference) -> Mapping[str, str]:
        asked.append(ref)
        return credentials

    with pytest.raises(RuntimeFault, match="does not let the image be pulled"):
        start(DockerRuntime(docker_host, instance="anonymous"), reference)

    runtime = DockerRuntime(docker_host, instance=uuid.uuid4().hex[:8], auth=auth)
    said: list[str] = []
    wanted = spec(reference, platform="linux/amd64", pull=ImagePull(by_platform=True))
    handle = runtime.start(wanted, deadline=deadline(60), log=said.append)
    try:
        assert runtime.poll(handle).alive
        assert asked == [Reference.parse(reference)]
        assert any(digest in line for line in said)
        again: list[str] = []
        runtime.stop(runtime.start(spec(reference), deadline=deadline(), log=again.append), grace=0)
        assert again == []
    finally:
        runtime.stop(handle, grace=0)


def test_an_image_that_is_nowhere_is_a_fault(runtime: DockerRuntime, registry_plain: Registry) -> None:
    with pytest.raises(RuntimeFault, match="not there") as caught:
        start(runtime, f"{registry_plain.host}/no/such@sha256:{'0' * 64}")
    assert caught.value.permanent
    with pytest.raises(RuntimeFault, match="not in the engine any more"):
        start(runtime, "sha256:" + "0" * 64)


def test_a_pull_from_a_hanging_registry_can_be_cancelled(
    runtime: DockerRuntime, fault_proxy: FaultProxy
) -> None:
    fault_proxy.set([{"path": ".*", "action": "hang"}])
    asked = iter(range(10))
    with pytest.raises(Cancelled):
        runtime.start(
            spec(f"{fault_proxy.host}/some/image:1"),
            deadline=Deadline.of(60, lambda: next(asked, None) is None),
            log=lambda line: None,
        )


def test_an_engine_that_goes_away_is_a_passing_fault(own_engine: Engine) -> None:
    runtime = DockerRuntime(own_engine.host, instance="away")
    assert runtime.capability().found
    handle = Handle("docker", "http://127.0.0.1:1/mcp", {"container": "0" * 64, "name": "x"})
    assert not runtime.poll(handle).alive
    own_engine.daemon.stop()
    for question in (runtime.poll, runtime.stats, lambda handle: runtime.output(handle, "")):
        with pytest.raises(RuntimeFault, match="does not answer") as caught:
            question(handle)
        assert not caught.value.permanent
    assert not runtime.capability().found


def test_capability_names_the_engine(runtime: DockerRuntime, tmp_path: Any) -> None:
    found = runtime.capability()
    assert found.found
    assert "Docker Engine" in found.detail
    absent = DockerRuntime(f"unix://{tmp_path}/no.sock", instance="x").capability()
    assert not absent.found
    assert absent.advice


# --- What is told instead of asked for


@pytest.fixture
def told(runtime: DockerRuntime) -> Iterator[Told]:
    yield Told()
    runtime.watch([], lambda: None)
    eventually(lambda: not threads("docker-"), what="all threads have ended")


def silent(runtime: DockerRuntime, handle: Handle) -> bool:
    """Whether it counts as silent once all of it was read."""
    all_output(runtime, handle)
    return not runtime.may_have_output(handle, "")


def test_an_end_is_told_and_the_status_says_so_by_then(
    runtime: DockerRuntime, engine: docker.DockerClient, image: str, told: Told
) -> None:
    handle = start(runtime, image)
    runtime.watch([handle], told)
    assert told.soon()  # it listens from now on
    engine.containers.get(handle.data["container"]).stop(timeout=0)
    assert told.soon()
    [status] = runtime.survey([handle])
    assert isinstance(status, RunStatus)
    assert not status.alive
    assert status == runtime.poll(handle)


def test_other_containers_are_not_told_of(
    runtime: DockerRuntime, engine: docker.DockerClient, image: str, told: Told
) -> None:
    handle, other = start(runtime, image), start(runtime, image, deployment_id=43, run_id=43)
    runtime.watch([handle], told)
    assert told.soon()
    runtime.stop(other, grace=0)
    runtime.stop(handle, grace=0)
    assert told.soon()
    assert runtime.survey([handle])[0] == RunStatus(False, reason="Its container is gone.")
    assert told.times <= 3  # it listens, one died, it was removed


def test_a_survey_tells_one_that_runs_from_those_that_do_not(
    runtime: DockerRuntime, engine: docker.DockerClient, image: str
) -> None:
    runs = start(runtime, image)
    ended_one = start(runtime, image, command=program("exit 3"), deployment_id=43, run_id=43)
    ended(runtime, ended_one)
    paused = start(runtime, image, deployment_id=44, run_id=44)
    engine.containers.get(paused.data["container"]).pause()
    gone = Handle("docker", "http://127.0.0.1:1/mcp", {"container": "0" * 64, "name": "x"})
    handles = [gone, runs, ended_one, paused]
    assert runtime.survey(handles) == [runtime.poll(handle) for handle in handles]
    assert [each.alive for each in map(runtime.poll, handles)] == [False, True, False, True]
    engine.containers.get(paused.data["container"]).unpause()


def test_a_silent_container_is_not_read_until_it_writes(
    runtime: DockerRuntime, engine: docker.DockerClient, image: str, told: Told
) -> None:
    waits = "echo one; until [ -e /tmp/go ]; do sleep 0.1; done; echo two; sleep 600"
    handle = start(runtime, image, command=program(waits))
    assert runtime.may_have_output(handle, "")
    runtime.watch([handle], told)
    eventually(lambda: silent(runtime, handle), what="it has nothing more to say")
    lines, cursor = runtime.output(handle, "")
    assert texts(lines) == ["one"]
    engine.containers.get(handle.data["container"]).exec_run(["touch", "/tmp/go"])
    eventually(lambda: runtime.may_have_output(handle, cursor), what="it has written")
    eventually(lambda: texts(runtime.output(handle, cursor)[0]) == ["two"])
    eventually(lambda: silent(runtime, handle), what="all of it was read")


def test_a_flood_is_read_whole_by_who_reads_only_what_was_written(
    runtime: DockerRuntime, image: str, told: Told
) -> None:
    bursts = (
        "for n in $(seq 40); do i=0; while [ $i -lt 50 ]; do echo $n.$i; i=$((i+1)); done; sleep 0.05; done"
    )
    handle = start(runtime, image, command=program(f"{bursts}; sleep 600"))
    runtime.watch([handle], told)
    seen: list[str] = []
    cursor = ""

    def look() -> bool:
        nonlocal cursor
        if runtime.may_have_output(handle, cursor):
            lines, cursor = runtime.output(handle, cursor)
            seen.extend(texts(lines))
        return len(seen) >= 40 * 50

    eventually(look, what="all lines came")
    assert seen == [f"{burst}.{line}" for burst in range(1, 41) for line in range(50)]


def test_after_the_engine_was_away_it_is_listened_to_again(own_engine: Engine) -> None:
    runtime, told = DockerRuntime(own_engine.host, instance="away"), Told()
    handle = Handle("docker", "http://127.0.0.1:1/mcp", {"container": "0" * 64, "name": "x"})
    runtime.watch([handle], told)
    assert told.soon()
    own_engine.daemon.stop()
    assert runtime.may_have_output(handle, "")
    own_engine.daemon.start_again()
    assert told.soon()
    runtime.watch([], told)
    eventually(lambda: not threads("docker-"), what="all threads have ended")


def test_an_engine_that_is_not_there_is_no_error_of_a_watch(tmp_path: Any) -> None:
    absent, told = DockerRuntime(f"unix://{tmp_path}/no.sock", instance="x"), Told()
    handle = Handle("docker", "http://127.0.0.1:1/mcp", {"container": "0" * 64, "name": "x"})
    absent.watch([handle], told)
    assert absent.may_have_output(handle, "")
    absent.watch([], told)
    eventually(lambda: not threads("docker-"), what="all threads have ended")
    assert told.times == 0


def test_a_port_is_free_again_after_stop(runtime: DockerRuntime, image: str) -> None:
    handle = start(runtime, image)
    eventually(lambda: answers(handle))
    runtime.stop(handle, grace=1)
    port = int(handle.endpoint.split(":")[2].split("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        pass
