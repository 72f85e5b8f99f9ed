"""Processes: how they start, what they see, and that none is left."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import aiohttp
import psutil
import pytest

from bridge.app import App, Settings
from bridge.child import Child
from bridge.cli import listen
from tests.bridge.conftest import SOURCE, Start
from tests.bridge.harness import (
    DEADLINE,
    HEADERS,
    LEGACY,
    MODERN,
    Bridge,
    LegacyClient,
    ModernClient,
    enveloped,
    initialize,
    messages,
    modern_headers,
    request,
    tool,
    until,
)


def alive(pid: int) -> bool:
    """A zombie counts: someone has to have waited for it."""
    return psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["sh", "-c", "exit 3"], "server exited with code 3"),
        (["sh", "-c", "kill -9 $$"], "server was ended by signal 9"),
        (["no-such-program"], "server exited with code 127"),
        (["/"], "server exited with code 126"),
    ],
)
async def test_a_server_that_cannot_start_is_no_200(
    start: Start, http: aiohttp.ClientSession, command: list[str], message: str
) -> None:
    bridge = start(command=command)
    async with http.post(bridge.url, json=initialize(), headers=HEADERS) as response:
        assert response.status == 502
        assert (await response.json())["error"] == {"code": -32000, "message": message}
    await until(lambda: not bridge.servers())


async def test_a_missing_program_is_named_in_the_log(start: Start, http: aiohttp.ClientSession) -> None:
    bridge = start(command=["no-such-program"])
    async with http.post(bridge.url, json=initialize(), headers=HEADERS):
        await until(lambda: bridge.logged("command not found: no-such-program"))


async def test_the_environment_is_passed_on_without_the_bridges_own(
    start: Start, http: aiohttp.ClientSession
) -> None:
    env = {**os.environ, "GREETING": "hello", "BRIDGE_TOKEN": "secret"}
    client = await LegacyClient(http, start(command=LEGACY, env=env).url).open()
    seen = json.loads(await client.result("environment"))
    assert seen["GREETING"] == "hello"
    assert "BRIDGE_TOKEN" not in seen


async def test_limits_come_from_the_environment_too(start: Start, http: aiohttp.ClientSession) -> None:
    """As the platform gives them to bridges in images; an option has the last word."""
    env = {**os.environ, "BRIDGE_MAX_SESSIONS": "1", "BRIDGE_MAX_BODY": "2000"}
    bridge = start(command=LEGACY, env=env)
    client = await LegacyClient(http, bridge.url).open()
    async with client.get(), http.post(bridge.url, json=initialize(), headers=HEADERS) as response:
        assert (response.status, "too many sessions" in await response.text()) == (503, True)
    async with client.post(tool("echo", 1, text="x" * 2000)) as response:
        assert response.status == 413
    wider = start("--max-sessions", "2", command=LEGACY, env=env)
    for _ in range(2):
        await LegacyClient(http, wider.url).open()


async def test_no_zombies_after_sessions_end(legacy_bridge: Bridge, http: aiohttp.ClientSession) -> None:
    ended, crashed = [await LegacyClient(http, legacy_bridge.url).open() for _ in range(2)]
    pids = {int(await client.result("pid")) for client in (ended, crashed)}
    await ended.close()
    await crashed.call("crash")
    await until(lambda: not any(map(alive, pids)))


async def test_what_a_server_left_running_ends_with_it(
    legacy_bridge: Bridge, http: aiohttp.ClientSession
) -> None:
    client = await LegacyClient(http, legacy_bridge.url).open()
    pids = json.loads(await client.result("orphan"))
    await client.close()
    await until(lambda: not any(map(running, pids)))


async def test_a_server_that_ignores_everything_is_killed(start: Start, http: aiohttp.ClientSession) -> None:
    stubborn = ["sh", "-c", "trap '' TERM; python3 -c \"$SERVER\"; while :; do sleep 0.1; done"]
    bridge = start(command=stubborn, env={**os.environ, "SERVER": _ANSWERS_ONCE})
    await LegacyClient(http, bridge.url).open()
    pids = [server.pid for server in bridge.servers()]
    assert bridge.stop() == 0
    assert not any(map(alive, pids))


async def test_serving_goes_on_when_nobody_reads_the_log(program: list[str], tmp_path: Path) -> None:
    path = str(tmp_path / "bridge.sock")
    argv = [*program, "--unix", path, "--", *LEGACY]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE)
    assert process.stderr
    process.stderr.readline()
    process.stderr.close()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as local:
        client = await LegacyClient(local, "http://bridge/mcp").open()
        await client.call("garbage")
        assert await client.result("echo", text="x") == "x"
    process.terminate()
    assert process.wait(DEADLINE) == 0


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_server_that_cannot_be_made_is_told_and_leaves_nothing(
    start: Start, http: aiohttp.ClientSession, era: str
) -> None:
    bridge = start("--idle-timeout", "0.2", command=LEGACY if era == "legacy" else MODERN)

    async def ask() -> tuple[int, dict[str, object]]:
        body = initialize() if era == "legacy" else enveloped(tool("echo", 0, text="x"))
        headers = HEADERS if era == "legacy" else modern_headers(body)
        async with http.post(bridge.url, json=body, headers=headers) as response:
            return response.status, (await messages(response))[-1]

    async def state() -> dict[str, object]:
        async with http.get(f"{bridge.origin}/.bridge/healthz") as response:
            return dict(await response.json())

    await state()  # the one connection that is needed is open
    most = resource.prlimit(bridge.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(bridge.process.pid, resource.RLIMIT_NOFILE, (3, most[1]))
    status, said = await ask()
    assert (status, said["id"]) == (502, 0)
    assert said["error"]["code"] == -32000  # type: ignore[index]
    assert "server cannot start" in str(said["error"])
    assert await state() == {"status": "ok", "sessions": 0, "shared": False}
    resource.prlimit(bridge.process.pid, resource.RLIMIT_NOFILE, most)
    assert (await ask())[0] == 200
    await until(lambda: not bridge.servers())  # idle ones are ended as ever


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_server_without_a_thread_that_waits_for_it_is_told(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, era: str
) -> None:
    """Of Python's bridge, before 3.12. Its idle servers are ended as ever."""
    settings = Settings(command=LEGACY, port=0, idle_timeout=0.2)
    app = App(settings)
    listener = await listen(settings, app)
    sweeper = asyncio.create_task(app.sweep())
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/mcp"
    body = initialize() if era == "legacy" else enveloped(tool("echo", 0, text="x"))
    headers = HEADERS if era == "legacy" else modern_headers(body)

    async def no_thread(*_args: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(Child, "start", no_thread)
        async with http.post(url, json=body, headers=headers) as response:
            error = {"code": -32000, "message": "server cannot start: can't start new thread"}
            assert (response.status, (await response.json())["error"]) == (502, error)
    await LegacyClient(http, url).open()
    (session,) = app._sessions.values()
    await session.child.gone.wait()
    assert not sweeper.done()
    sweeper.cancel()
    listener.close()
    await app.close()


# From 3.12 on asyncio waits for processes without a thread: there is nothing to test, and CI takes no skips.
if sys.version_info < (3, 12):

    async def test_a_server_that_nobody_could_wait_for_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
        def no_thread(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        before = set(psutil.Process().children())
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(RuntimeError):
                await Child.start(LEGACY, lambda line: None, lambda child: None)
        (made,) = set(psutil.Process().children()) - before
        await until(lambda: not running(made.pid))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_end_of_the_bridge_is_the_end_of_its_servers(
    start: Start, http: aiohttp.ClientSession, number: int
) -> None:
    bridge = start(command=LEGACY)
    pids = [int(await (await LegacyClient(http, bridge.url).open()).result("pid")) for _ in range(2)]
    bridge.process.send_signal(number)
    assert bridge.process.wait(DEADLINE) == 0
    assert not any(map(alive, pids))


async def test_a_call_in_progress_is_answered_when_the_bridge_ends(
    start: Start, http: aiohttp.ClientSession
) -> None:
    bridge = start(command=MODERN)
    client = ModernClient(http, bridge.url)
    async with client.post(request("tools/call", 1, name="hang", _meta={"progressToken": 1})) as response:
        bridge.process.terminate()
        assert "server was ended" in (await response.text())


async def test_a_call_is_answered_although_its_server_ends_just_before_the_bridge(
    http: aiohttp.ClientSession,
) -> None:
    settings = Settings(LEGACY, port=0)
    app = App(settings)
    listener = await listen(settings, app)
    client = await LegacyClient(http, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/mcp").open()
    (session,) = app._sessions.values()
    async with client.post(tool("hang", 1)) as response:
        os.kill(session.child.pid, signal.SIGTERM)
        await session.child.gone.wait()  # nothing else has had a turn since
        listener.close()
        await app.close()
        assert (await messages(response))[-1]["error"]["message"] == "server was ended by signal 15"


async def test_servers_do_not_outlive_a_killed_bridge(start: Start, http: aiohttp.ClientSession) -> None:
    bridge = start(command=LEGACY)
    pid = int(await (await LegacyClient(http, bridge.url).open()).result("pid"))
    bridge.process.kill()
    await until(lambda: not running(pid))


async def test_linux_ends_even_servers_that_ignore_the_end_of_stdin(http: aiohttp.ClientSession) -> None:
    deaf = [*LEGACY[:1], "-c", _ANSWERS_ONCE + "import time\nwhile True: time.sleep(1)\n"]
    bridge = Bridge([sys.executable, str(SOURCE)], [], deaf)
    await LegacyClient(http, bridge.url).open()
    pids = [server.pid for server in bridge.servers()]
    bridge.process.kill()
    await until(lambda: not any(map(running, pids)))


def running(pid: int) -> bool:
    """Whoever adopted it may take a moment to wait for it."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ([], "what to run is missing"),
        (["--port", "many", "--", "true"], "port"),
        (["--what", "--", "true"], "what"),
    ],
)
def test_bad_arguments(program: list[str], argv: list[str], named: str) -> None:
    done = subprocess.run([*program, *argv], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 2
    assert named in done.stderr


def test_a_port_in_use_is_one_line(program: list[str], legacy_bridge: Bridge) -> None:
    port = legacy_bridge.origin.rpartition(":")[2]
    argv = [*program, "--port", port, "--", "true"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 1
    assert done.stderr.startswith("bridge: cannot listen: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("module", sorted(SOURCE.glob("*.py")), ids=lambda path: path.name)
def test_python_3_9_can_read_it(module: Path) -> None:
    ast.parse(module.read_text(), feature_version=(3, 9))


_ANSWERS_ONCE = """
import json, sys
request = json.loads(sys.stdin.readline())
result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
sys.stdin.read()
"""


DEAF = """
import json, sys, time
request = json.loads(sys.stdin.buffer.readline())
result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "deaf", "version": "1"}}
print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_what_a_server_does_not_read_is_not_collected_without_end(
    start: Start, http: aiohttp.ClientSession, era: str
) -> None:
    bridge = start(command=[sys.executable, "-c", DEAF])
    client = (
        await LegacyClient(http, bridge.url).open() if era == "legacy" else ModernClient(http, bridge.url)
    )
    if era == "modern":
        await client.call("any")
    callers = [
        asyncio.create_task(client.call("any", number, text="x" * 3_000_000)) for number in range(1, 21)
    ]
    first, _ = await asyncio.wait(callers, timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
    for caller in callers:
        caller.cancel()
    error = {"code": -32000, "message": "server does not read what it is sent"}
    assert [caller.result()[-1]["error"] for caller in first] == [error] * len(first)
    assert first
