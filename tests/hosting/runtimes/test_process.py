from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hosting.deadline import Deadline
from hosting.errors import Cancelled, RuntimeFault
from hosting.runtimes import process, process_run
from hosting.runtimes.base import Handle, Limits, RunStatus
from hosting.runtimes.process import ProcessRuntime
from tests.eventually import eventually
from tests.hosting.runtimes.programs import all_output, deadline, ended, has_ended, prepared, spec, texts
from tests.hosting.runtimes.told import Told, threads

REPOSITORY = Path(__file__).parents[3]
ECHO_BRIDGE = """
import os, socket, subprocess, sys
host, port, path, command = sys.argv[2], int(sys.argv[4]), sys.argv[6], sys.argv[8:]
child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
listener = socket.create_server((host, port))
listener.accept()
"""
LISTEN = """
import os, socket
listener = socket.create_server((os.environ["HOST"], int(os.environ["PORT"])))
"""
SLEEPER = "import time\nprint('up', flush=True)\ntime.sleep(600)\n"


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessRuntime]:
    monkeypatch.setattr(process, "LISTEN_SECONDS", 60.0)  # a start returns as soon as the server listens
    bridge = tmp_path / "bridge"
    bridge.mkdir()
    (bridge / "__main__.py").write_text(ECHO_BRIDGE)
    runtime = ProcessRuntime(tmp_path / "runs", bridge)
    yield runtime
    for stray in runtime.strays():
        runtime.stop(stray.handle, grace=0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return prepared(tmp_path / "runs" / "deployment")


def start(runtime: ProcessRuntime, directory: Path, /, program: str = "", **changes: Any) -> Handle:
    if program:
        (directory / "app" / "server.py").write_text(program)
    return runtime.start(
        spec(**{"directory": directory, **changes}), deadline=deadline(), log=lambda line: None
    )


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def connects(handle: Handle) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", handle.data["port"])) == 0


def test_a_started_server_listens_at_its_endpoint_and_is_gone_after_stop(
    runtime: ProcessRuntime, directory: Path
) -> None:
    handle = start(runtime, directory, path="/tools")
    assert handle.endpoint == f"http://127.0.0.1:{handle.data['port']}/tools"
    assert connects(handle)
    assert runtime.poll(handle).alive

    runtime.stop(handle, grace=5)
    assert not connects(handle)
    assert is_gone(handle.data["pid"])
    assert not runtime.poll(handle).alive
    assert list((directory / "tmp").iterdir()) == []
    runtime.stop(handle, grace=5)


def test_the_environment_holds_nothing_of_the_platform(
    runtime: ProcessRuntime, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "the platform's own")
    show = "import json, os\nprint(json.dumps(dict(os.environ)))"
    handle = start(runtime, directory, show, environment={"API_KEY": "s3cret", "PORT": "1"})
    ended(runtime, handle)
    seen = json.loads(texts(all_output(runtime, handle))[0])
    assert set(seen) == {
        *("PATH", "HOME", "TMPDIR", "LANG", "PYTHONUNBUFFERED", "PORT", "HOST", "API_KEY"),
        *("MCPHOST_RUN", "MCPHOST_STATE"),
    }
    assert seen["API_KEY"] == "s3cret"
    assert seen["PORT"] == str(handle.data["port"])
    assert seen["HOME"] == str(directory / "home")
    assert seen["PATH"].split(":")[:3] == [
        str(directory / "venv" / "bin"),
        str(directory / "tools" / "bin"),
        str(directory / "app" / "node_modules" / ".bin"),
    ]


def test_a_secret_is_neither_in_the_process_list_nor_on_disk(
    runtime: ProcessRuntime, directory: Path
) -> None:
    handle = start(runtime, directory, environment={"API_KEY": "s3cret-value"})
    assert "s3cret-value" not in " ".join(psutil.Process(handle.data["pid"]).cmdline())
    assert "s3cret-value" not in json.dumps(dict(handle.data))
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files
    assert all(b"s3cret-value" not in path.read_bytes() for path in files)


def test_what_it_wrote_is_readable_by_its_owner_only(runtime: ProcessRuntime, directory: Path) -> None:
    start(runtime, directory)
    modes = {path.stat().st_mode & 0o077 for path in (directory / "log").iterdir()}
    assert modes == {0}


def test_a_stdio_server_is_wrapped_by_the_bridge(runtime: ProcessRuntime, directory: Path) -> None:
    handle = start(runtime, directory, SLEEPER, transport="stdio", path="/ignored")
    assert handle.endpoint == f"http://127.0.0.1:{handle.data['port']}/mcp"
    eventually(lambda: texts(all_output(runtime, handle)) == ["up"])
    leader = psutil.Process(handle.data["pid"])
    [child] = leader.children()
    assert child.cmdline() == [sys.executable, "server.py"]
    runtime.stop(handle, grace=5)
    assert has_ended(child.pid)


def test_the_port_can_be_an_argument(runtime: ProcessRuntime, directory: Path) -> None:
    handle = start(
        runtime,
        directory,
        "import sys; print(sys.argv[1])",
        command=(sys.executable, "server.py", "--port={port}"),
    )
    ended(runtime, handle)
    assert texts(all_output(runtime, handle)) == [f"--port={handle.data['port']}"]


def test_output_comes_in_pieces_and_none_twice(runtime: ProcessRuntime, directory: Path) -> None:
    program = """
import os, sys
print("one"); print("two", file=sys.stderr)
sys.stdout.write("half of"); sys.stdout.flush()
import time
while not os.path.exists("go"): time.sleep(0.01)
print(" a line"); sys.stdout.write("no end"); sys.stdout.flush()
"""
    handle = start(runtime, directory, LISTEN + program)
    first, cursor = eventually(lambda: (found := runtime.output(handle, "")) and len(found[0]) == 2 and found)
    assert [(line.stream, line.text) for line in first] == [("stdout", "one"), ("stderr", "two")]
    assert runtime.output(handle, cursor) == ([], cursor)
    (directory / "app" / "go").touch()
    ended(runtime, handle)
    second, _ = runtime.output(handle, cursor)
    assert texts(second) == ["half of a line", "no end"]
    assert all(line.at.tzinfo for line in second)


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        ("import sys; sys.exit(3)", 3, "code 3"),
        ("pass", 0, "has to keep running"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV, "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, "memory"),
    ],
)
def test_an_exit_is_told_with_its_code_and_in_words(
    runtime: ProcessRuntime, directory: Path, program: str, code: int, words: str
) -> None:
    handle = start(runtime, directory, program)
    status = ended(runtime, handle)
    assert status.exit_code == code
    assert words in status.reason
    assert is_gone(handle.data["pid"])  # no zombie


def test_a_program_that_is_not_there_says_so_in_its_output(runtime: ProcessRuntime, directory: Path) -> None:
    handle = start(runtime, directory, command=("/nowhere/server", "x"))
    assert ended(runtime, handle).exit_code == 127
    assert texts(all_output(runtime, handle), "stderr") == [
        "The server could not be started: /nowhere/server was not found."
    ]


def test_a_server_that_ignores_sigterm_is_killed_with_all_its_children(
    runtime: ProcessRuntime, directory: Path
) -> None:
    stubborn = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for session in (False, True):
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=session)
    print(child.pid, flush=True)
time.sleep(600)
"""
    handle = start(runtime, directory, LISTEN + stubborn)
    eventually(lambda: len(all_output(runtime, handle)) == 2)
    pids = [int(text) for text in texts(all_output(runtime, handle))]
    runtime.stop(handle, grace=0.2)
    assert all(has_ended(pid) for pid in pids)
    assert is_gone(handle.data["pid"])
    assert runtime.strays() == []


def test_a_server_ends_what_it_started_in_a_session_of_its_own(
    runtime: ProcessRuntime, directory: Path
) -> None:
    """As the bridge does, which has something to tell its callers first."""
    parent = """
import signal, subprocess, sys, time
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
def stop(*about):
    time.sleep(0.3)  # what reached the child as well has ended it by then
    print("found", child.poll(), flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print(child.pid, flush=True)
time.sleep(600)
"""
    handle = start(runtime, directory, LISTEN + parent)
    child = int(eventually(lambda: texts(all_output(runtime, handle)))[0])
    runtime.stop(handle, grace=60)
    assert texts(all_output(runtime, handle))[-1] == "found None"
    assert has_ended(child)


def test_children_of_a_killed_leader_are_ended_too(runtime: ProcessRuntime, directory: Path) -> None:
    parent = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
time.sleep(600)
"""
    handle = start(runtime, directory, LISTEN + parent)
    child = int(eventually(lambda: texts(all_output(runtime, handle)))[0])
    os.kill(handle.data["pid"], signal.SIGKILL)
    assert ended(runtime, handle).exit_code == -signal.SIGKILL
    assert [stray.deployment_id for stray in runtime.strays()] == [42]
    runtime.stop(handle, grace=1)
    assert has_ended(child)
    assert runtime.strays() == []


def test_a_recycled_pid_is_left_alone(runtime: ProcessRuntime) -> None:
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        data = {
            "pid": bystander.pid,
            "create_time": 1.0,
            "port": 1,
            "directory": "/nonexistent",
            "token": "0" * 8,
        }
        handle = Handle("process", "http://127.0.0.1:1/mcp", data)
        assert not runtime.poll(handle).alive
        assert runtime.stats(handle) is None
        runtime.stop(handle, grace=0)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_second_platform_takes_a_run_up_after_the_first_was_killed(
    runtime: ProcessRuntime, directory: Path, tmp_path: Path
) -> None:
    first = """
import json, sys, os
from pathlib import Path
from hosting.runtimes import process
from hosting.runtimes.process import ProcessRuntime
from tests.hosting.runtimes.programs import spec, deadline
process.LISTEN_SECONDS = 60.0
runtime = ProcessRuntime(Path(sys.argv[1]), Path(sys.argv[2]))
handle = runtime.start(spec(Path(sys.argv[3])), deadline=deadline(), log=print)
print(json.dumps({"endpoint": handle.endpoint, "data": dict(handle.data)}), flush=True)
os.kill(os.getpid(), 9)
"""
    arguments = [str(tmp_path / "runs"), str(tmp_path / "bridge"), str(directory)]
    killed = subprocess.run(
        [sys.executable, "-c", first, *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    saved = json.loads(killed.stdout)
    handle = Handle("process", saved["endpoint"], saved["data"])

    assert runtime.poll(handle).alive
    assert connects(handle)
    assert texts(all_output(runtime, handle), "stderr") == [f"hello from {directory / 'app'}"]
    [stray] = runtime.strays()
    assert (stray.server_id, stray.deployment_id) == (7, 42)
    assert stray.handle == handle

    os.kill(handle.data["pid"], signal.SIGKILL)
    status = ended(runtime, handle)
    assert status.exit_code is None
    assert "not known" in status.reason


def test_a_handle_of_another_version_is_understood(runtime: ProcessRuntime, directory: Path) -> None:
    handle = start(runtime, directory)
    newer = Handle(handle.runtime, handle.endpoint, {**handle.data, "cgroup": "/x"})
    older = Handle(handle.runtime, handle.endpoint, {k: v for k, v in handle.data.items() if k != "pids"})
    assert runtime.poll(newer).alive
    assert runtime.poll(older).alive


def test_another_platforms_runs_are_not_strays(
    runtime: ProcessRuntime, directory: Path, tmp_path: Path
) -> None:
    start(runtime, directory)
    assert len(runtime.strays()) == 1
    assert ProcessRuntime(tmp_path / "other", tmp_path / "bridge").strays() == []


def test_a_run_over_its_memory_is_ended_with_the_reason(runtime: ProcessRuntime, directory: Path) -> None:
    greedy = "data = bytearray(200 << 20)\nimport time\nprint('full', flush=True)\ntime.sleep(600)"
    handle = start(runtime, directory, LISTEN + greedy, limits=Limits(memory_mb=100))
    status = ended(runtime, handle)
    assert "limit is 100" in status.reason
    assert status.exit_code == -signal.SIGKILL
    assert is_gone(handle.data["pid"])


def test_the_largest_process_goes_first_so_that_one_session_costs_not_all(
    runtime: ProcessRuntime, directory: Path
) -> None:
    sessions = """
import subprocess, sys, time
for size in (20, 120):
    code = f"data = bytearray({size} << 20); import time; print({size}, flush=True); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
time.sleep(600)
"""
    handle = start(runtime, directory, LISTEN + sessions, limits=Limits(memory_mb=150, pids=0))
    status = eventually(lambda: (status := runtime.poll(handle)).reason and status)
    assert status.alive
    assert "its largest process was ended" in status.reason
    eventually(lambda: (stats := runtime.stats(handle)) and stats.pids == 2)
    assert runtime.poll(handle) == RunStatus(alive=True)


def test_what_runs_away_in_memory_is_stopped_by_the_kernel(runtime: ProcessRuntime, directory: Path) -> None:
    handle = start(runtime, directory, "bytearray(2 << 30)", limits=Limits(memory_mb=100))
    assert ended(runtime, handle).exit_code == 1
    assert "MemoryError" in texts(all_output(runtime, handle))


def test_a_run_over_its_processes_is_ended_with_the_reason(runtime: ProcessRuntime, directory: Path) -> None:
    threads = """
import threading, time
for _ in range(30): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
time.sleep(600)
"""
    handle = start(runtime, directory, LISTEN + threads, limits=Limits(pids=10))
    assert "limit is 10" in ended(runtime, handle).reason


def test_stats_cover_the_whole_run(runtime: ProcessRuntime, directory: Path) -> None:
    handle = start(runtime, directory, SLEEPER, transport="stdio")
    eventually(lambda: texts(all_output(runtime, handle)))
    stats = runtime.stats(handle)
    assert stats
    assert stats.pids == 2
    assert stats.memory_bytes > 8 << 20
    assert 0 <= stats.cpu < 64
    runtime.stop(handle, grace=5)
    assert runtime.stats(handle) is None


# --- What is told instead of asked for


@pytest.fixture
def told(runtime: ProcessRuntime) -> Iterator[Told]:
    yield Told()
    runtime.watch([], lambda: None)
    eventually(lambda: not threads("ends"), what="its thread has ended")


def another(tmp_path: Path) -> ProcessRuntime:
    """As a platform that was started again: it has children of its own only."""
    return ProcessRuntime(tmp_path / "runs", tmp_path / "bridge")


@pytest.fixture(params=["pidfd", "looks"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A system that tells of ends, and one where they have to be looked for."""
    if request.param == "looks":
        monkeypatch.delattr(os, "pidfd_open")
    return str(request.param)


def test_an_end_is_told_and_its_code_is_known_by_then(
    runtime: ProcessRuntime, directory: Path, told: Told, by: str
) -> None:
    handle = start(runtime, directory)
    runtime.watch([handle], told)
    os.kill(handle.data["pid"], signal.SIGTERM)
    assert told.soon()
    assert runtime.poll(handle).exit_code == -signal.SIGTERM


def test_the_end_of_a_run_of_an_earlier_platform_is_told(
    runtime: ProcessRuntime, directory: Path, tmp_path: Path, told: Told, by: str
) -> None:
    handle, later = start(runtime, directory), another(tmp_path)
    later.watch([handle], told)
    os.kill(handle.data["pid"], signal.SIGKILL)
    assert told.soon()
    [status] = later.survey([handle])
    assert isinstance(status, RunStatus)
    assert not status.alive
    later.watch([], told)


def test_what_had_ended_before_is_told_once(
    runtime: ProcessRuntime, directory: Path, told: Told, by: str
) -> None:
    gone = start(runtime, directory)
    os.kill(gone.data["pid"], signal.SIGKILL)
    ended(runtime, gone)
    alive = start(runtime, directory)
    runtime.watch([gone], told)
    assert told.soon()
    runtime.watch([gone, alive], told)
    os.kill(alive.data["pid"], signal.SIGKILL)
    assert told.soon()
    assert told.times == 2


def test_another_process_with_the_pid_is_not_watched(
    runtime: ProcessRuntime, directory: Path, told: Told
) -> None:
    handle = start(runtime, directory)
    recycled = Handle(handle.runtime, handle.endpoint, {**handle.data, "create_time": 1.0})
    runtime.watch([recycled], told)
    assert told.soon()
    assert runtime.poll(handle).alive


def test_a_watch_that_ends_leaves_nothing_open(runtime: ProcessRuntime, directory: Path, told: Told) -> None:
    handle, before = start(runtime, directory), psutil.Process().num_fds()
    for _ in range(3):
        runtime.watch([handle], told)
        runtime.watch([handle], told)
        assert len(threads("ends")) == 1
        eventually(lambda: psutil.Process().num_fds() > before, what="it watches")
        runtime.watch([], told)
        eventually(lambda: not threads("ends") and psutil.Process().num_fds() == before, what="all is closed")
    assert told.times == 0


def test_a_run_that_is_watched_is_held_to_its_limits_without_a_question(
    runtime: ProcessRuntime, directory: Path, told: Told
) -> None:
    greedy = """
import os, time
while not os.path.exists("go"): time.sleep(0.01)
data = bytearray(200 << 20)
time.sleep(600)
"""
    handle = start(runtime, directory, LISTEN + greedy, limits=Limits(memory_mb=100))
    runtime.watch([handle], told)
    (directory / "app" / "go").touch()
    assert told.soon()
    status = ended(runtime, handle)
    assert "limit is 100" in status.reason
    assert status.exit_code == -signal.SIGKILL


def test_why_its_largest_process_was_ended_meanwhile_is_told_with_the_next_status(
    runtime: ProcessRuntime, directory: Path, told: Told
) -> None:
    session = """
import subprocess, sys, time
code = "data = bytearray(120 << 20); import time; time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
print(child.wait(), flush=True)
time.sleep(600)
"""
    handle = start(runtime, directory, LISTEN + session, limits=Limits(memory_mb=100, pids=0))
    runtime.watch([handle], told)
    assert told.soon()
    eventually(lambda: texts(all_output(runtime, handle)) == [str(-signal.SIGKILL)])
    status = runtime.poll(handle)
    assert status.alive
    assert "its largest process was ended" in status.reason
    assert runtime.poll(handle) == RunStatus(alive=True)


def test_output_is_asked_for_only_when_there_is_more(runtime: ProcessRuntime, directory: Path) -> None:
    program = """
import os, sys, time
print("one", flush=True)
while not os.path.exists("go"): time.sleep(0.01)
print("two", file=sys.stderr, flush=True)
time.sleep(600)
"""
    handle = start(runtime, directory, LISTEN + program)
    eventually(lambda: runtime.may_have_output(handle, ""))
    lines, cursor = runtime.output(handle, "")
    assert texts(lines) == ["one"]
    assert not runtime.may_have_output(handle, cursor)
    (directory / "app" / "go").touch()
    eventually(lambda: runtime.may_have_output(handle, cursor))
    lines, cursor = runtime.output(handle, cursor)
    assert texts(lines) == ["two"]
    assert not runtime.may_have_output(handle, cursor)
    os.truncate(process_run.from_handle(handle).file("err"), 0)
    assert runtime.may_have_output(handle, cursor), "or what it writes now is never read"
    gone = Handle(handle.runtime, handle.endpoint, {**handle.data, "directory": "/nonexistent"})
    assert not runtime.may_have_output(gone, "")


def test_a_survey_answers_for_each_as_a_poll_does(runtime: ProcessRuntime, directory: Path) -> None:
    gone = start(runtime, directory, "import sys; sys.exit(3)")
    ended(runtime, gone)
    alive = start(runtime, directory, LISTEN + "import time; time.sleep(600)")
    assert runtime.survey([gone, alive, gone]) == [runtime.poll(each) for each in (gone, alive, gone)]
    measured = runtime.measure([gone, alive])
    assert measured[0] is None
    assert measured[1]
    assert measured[1].pids == 1


def test_a_cancelled_start_leaves_nothing(runtime: ProcessRuntime, directory: Path) -> None:
    (directory / "app" / "server.py").write_text(SLEEPER)
    with pytest.raises(Cancelled):
        runtime.start(spec(directory), deadline=Deadline.of(30, lambda: True), log=lambda line: None)
    assert runtime.strays() == []


def test_a_server_that_listens_elsewhere_is_told_so(
    runtime: ProcessRuntime, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LISTEN_SECONDS", 10.0)  # the only one that waits it out
    stubborn = "import socket\nwith socket.create_server(('127.0.0.1', 0)) as s: s.accept()"
    (directory / "app" / "server.py").write_text(stubborn)
    said: list[str] = []
    handle = runtime.start(spec(directory), deadline=deadline(), log=said.append)
    assert runtime.poll(handle).alive
    assert any("not on the one in PORT" in line for line in said)


def test_a_port_that_somebody_else_took_is_given_up_for_another(
    runtime: ProcessRuntime, directory: Path
) -> None:
    beaten = """
import os, socket, subprocess, sys, time
port = int(os.environ["PORT"])
thief = f'''
import os, socket, time
if os.fork(): os._exit(0)
open("thief", "w").write(str(os.getpid()))
listener = socket.create_server(("127.0.0.1", {port}))
time.sleep(600)
'''
if not os.path.exists("thief"):
    subprocess.run([sys.executable, "-c", thief], env={}, start_new_session=True)  # an orphan: nobody's child
    while socket.socket().connect_ex(("127.0.0.1", port)): time.sleep(0.01)
    sys.exit("address already in use")
"""
    (directory / "app" / "server.py").write_text(beaten + LISTEN + "time.sleep(600)")
    said: list[str] = []
    try:
        handle = runtime.start(spec(directory), deadline=deadline(), log=said.append)
        assert runtime.poll(handle).alive
        assert connects(handle)
        [line] = said
        assert "taken by another program" in line
        assert str(handle.data["port"]) not in line
    finally:
        os.kill(int((directory / "app" / "thief").read_text()), signal.SIGKILL)


@pytest.mark.parametrize(
    "changes", [{"command": ()}, {"directory": None}, {"directory": Path("/nonexistent")}]
)
def test_a_spec_that_cannot_run_is_refused(
    runtime: ProcessRuntime, directory: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(RuntimeFault) as caught:
        start(runtime, directory, **changes)
    assert caught.value.hint


def test_only_the_last_earlier_output_is_kept(runtime: ProcessRuntime, directory: Path) -> None:
    for _ in range(4):
        ended(runtime, start(runtime, directory, "print('x')"))
    assert len(list((directory / "log").glob("*.out"))) == 2


def test_capability_names_what_was_found(runtime: ProcessRuntime, tmp_path: Path) -> None:
    found = runtime.capability()
    assert found.found
    assert "Python 3." in found.detail
    bare = ProcessRuntime(tmp_path, tmp_path, search_path=str(tmp_path)).capability()
    assert "no node" in bare.detail
    assert "Node.js" in bare.advice
