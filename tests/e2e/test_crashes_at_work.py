"""`kill -9` of the platform in the middle of a clone, of a build, and while it waits for health."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from tests.eventually import eventually
from tests.platform import hello_files

from .crashing import at_work_for, deploy, here, killed_at, leaves_nothing, reached, server_that, serves_once
from .upping import Machine, greeted

__all__ = ["here"]
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


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """While it is there, what waits for it waits."""
    made = tmp_path / "gate"
    made.touch()
    return made


def slow_to_build(gate: Path) -> dict[str, str | bytes]:
    package = {"slow/pyproject.toml": PROJECT, "slow/backend.py": BACKEND.format(gate=str(gate))}
    without_project = {name: held for name, held in hello_files().items() if name != "pyproject.toml"}
    return {**without_project, **package, "requirements.txt": "./slow\n"}


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
    eventually(lambda: here.statuses()["second"] == "error", within=120, what="it is closed")
    (kind,) = [each["error_kind"] for each in here.json("servers") if each["slug"] == "second"]
    assert kind == "source"
    leaves_nothing(here, again)


def _running(argument: str) -> list[psutil.Process]:
    """Processes with that word on their command line, but for our own commands."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if argument in words and "manage.py" not in " ".join(words):
            found.append(process)
    return found
