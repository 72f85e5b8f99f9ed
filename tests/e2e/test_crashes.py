"""`kill -9` of the platform at each step of a deployment, and with servers running."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from tests.eventually import eventually
from tests.platform import hello_files

from .upping import Machine, Up, archive, greeted, machine

pytestmark = pytest.mark.real

# The server of a package that takes as long to build as the gate is there; it needs nothing from an index.
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
BACKEND = """
import os, pathlib, time, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    while pathlib.Path({gate!r}).exists():
        time.sleep(0.05)
    with zipfile.ZipFile(os.path.join(directory, "slow-1-py3-none-any.whl"), "w") as wheel:
        about = "slow-1.dist-info/"
        wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1\\n")
        wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(about + "RECORD", "")
    return "slow-1-py3-none-any.whl"
"""
WAITS = """
import pathlib, time
while pathlib.Path({gate!r}).exists():
    time.sleep(0.05)
"""
COUNTS = """
import os, threading, time

def count():
    number = 0
    while True:
        number += 1
        os.write(2, f"line {os.getpid()} {number}\\n".encode())  # at once: sessions share the file
        time.sleep(0.01)

threading.Thread(target=count, daemon=True).start()
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path, GIT_PROTOCOLS="http", HEALTH_TIMEOUT="120") as made:
        yield made


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """While it is there, what waits for it waits."""
    made = tmp_path / "gate"
    made.touch()
    return made


def server_that(begins: str) -> dict[str, str | bytes]:
    """The example, doing something else first."""
    files = hello_files()
    own = bytes(files["server.py"]).decode()  # type: ignore[arg-type]
    future = "from __future__ import annotations\n"
    return {**files, "server.py": own.replace(future, future + begins), "requirements.txt": ""}


def slow_to_build(gate: Path) -> dict[str, str | bytes]:
    package = {"slow/pyproject.toml": PROJECT, "slow/backend.py": BACKEND.format(gate=str(gate))}
    without_project = {name: held for name, held in hello_files().items() if name != "pyproject.toml"}
    return {**without_project, **package, "requirements.txt": "./slow\n"}


def reached(up: Up, event: str, server: int = 2) -> None:
    eventually(lambda: f"{event} server_id={server} " in up.complaints, within=120, what=event)


def deploy(here: Machine, *source: str) -> None:
    made = here.command("deploy", "second", *source)
    assert made.returncode == 0, made.stderr


def at_work_for(here: Machine, server: int = 2) -> list[psutil.Process]:
    """Fetches, builds and runs of that server."""
    scratch, runs = here.data / "work", here.data / "runs" / str(server)
    return [each for each in here.hosted() if _lies_in(each, scratch) or _lies_in(each, runs)]


def runs_by_server(here: Machine) -> Mapping[str, int]:
    """How many runs there are of each server, by the marks in their processes' environments."""
    marks = {_mark(process) for process in here.hosted()} - {""}
    return Counter(mark.partition(":")[0] for mark in marks)


def _mark(process: psutil.Process) -> str:
    try:
        return process.environ().get("MCPHOST_RUN", "")
    except psutil.Error:  # it has ended since
        return ""


def serves_once(here: Machine) -> None:
    def settled() -> bool:
        statuses = {each["slug"]: each["status"] for each in here.json("servers")}
        return statuses == {"hello": "running", "second": "running"}

    eventually(settled, within=120, what=f"both serve: {here.json('servers')}")
    eventually(lambda: runs_by_server(here) == {"1": 1, "2": 1}, what=f"once each: {runs_by_server(here)}")


def leaves_nothing(here: Machine, up: Up) -> None:
    scratch = here.data / "work"
    eventually(lambda: not list(scratch.iterdir()), what="scratch space is gone")
    assert up.stop() == 0
    assert "Traceback" not in up.complaints
    assert not here.hosted()


def _lies_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(directory)
    except psutil.Error:
        return False


def killed_at(here: Machine, event: str, files: Mapping[str, str | bytes]) -> Up:
    """Dies when the deployment of the second server gets there; the first one serves meanwhile."""
    up = here.start()
    reached(up, "deploy succeeded", server=1)
    with archive(here.home, files) as source:
        deploy(here, "--archive", str(source))
        reached(up, event)
        up.kill()
    return up


async def test_in_the_middle_of_a_build(here: Machine, gate: Path) -> None:
    first = killed_at(here, "build started", slow_to_build(gate))
    eventually(lambda: not at_work_for(here), what="the build's processes end with the platform")

    gate.unlink()
    again = here.start()
    serves_once(here)
    assert "Taken up again" in here.command("logs", "second").stdout
    assert (await greeted(f"{again.url}/mcp/hello", first.token))[1] == "Hello, Ada!"
    leaves_nothing(here, again)


async def test_while_it_waits_for_health(here: Machine, gate: Path) -> None:
    first = killed_at(here, "health started", server_that(WAITS.format(gate=str(gate))))
    assert at_work_for(here)

    gate.unlink()
    again = here.start()
    serves_once(here)
    assert (await greeted(f"{again.url}/mcp/hello", first.token))[1] == "Hello, Ada!"
    leaves_nothing(here, again)


@pytest.mark.parametrize(
    "event", ["deploy started", "clone succeeded", "start started", "discover started", "deploy succeeded"]
)
def test_at_any_moment(here: Machine, event: str) -> None:
    killed_at(here, event, hello_files())
    again = here.start()
    serves_once(here)
    leaves_nothing(here, again)


def test_in_the_middle_of_a_clone(here: Machine) -> None:
    """The other side of the clone answers nothing, and is gone after the restart: that is said."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/second.git"
        up = here.start()
        reached(up, "deploy succeeded", server=1)
        deploy(here, "--git", url)
        eventually(lambda: _running(url), what="git is at work")
        up.kill()
        eventually(lambda: not _running(url), what="git ends with the platform")

    again = here.start()
    eventually(lambda: _of(here, "second")["status"] == "error", within=120, what="it is closed")
    assert _of(here, "second")["error_kind"] == "source"
    leaves_nothing(here, again)


def test_servers_go_on_once_and_no_line_of_theirs_is_lost_or_doubled(here: Machine) -> None:
    up = here.start()
    reached(up, "deploy succeeded", server=1)
    with archive(here.home, server_that(COUNTS)) as source:
        deploy(here, "--archive", str(source))
    serves_once(here)
    eventually(lambda: _counted(here), what="it counts")
    before = {process.pid for process in at_work_for(here)}
    up.kill()

    again = here.start()
    serves_once(here)
    assert {process.pid for process in at_work_for(here)} == before
    seen = _counted(here)
    eventually(lambda: _longer(_counted(here), seen), what="it counts")
    leaves_nothing(here, again)
    for numbers in _counted(here).values():
        assert numbers == list(range(1, len(numbers) + 1))


def _counted(here: Machine) -> dict[str, list[int]]:
    """By process: the bridge starts one for each session."""
    counted: dict[str, list[int]] = {}
    for line in here.json("logs", "second", "--stream", "stderr", "-n", "100000"):
        if line["text"].startswith("line "):
            _, process, number = line["text"].split()
            counted.setdefault(process, []).append(int(number))
    return counted


def _longer(now: dict[str, list[int]], before: dict[str, list[int]]) -> bool:
    return any(len(numbers) > len(before.get(process, ())) + 100 for process, numbers in now.items())


def _of(here: Machine, slug: str) -> dict[str, str]:
    return next(each for each in here.json("servers") if each["slug"] == slug)


def _running(argument: str) -> list[psutil.Process]:
    """Processes with that word on their command line, but for our own commands."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if argument in words and "manage.py" not in " ".join(words):
            found.append(process)
    return found
