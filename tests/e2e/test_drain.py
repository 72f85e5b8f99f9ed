"""Calls that are under way when their server is deployed again, on processes and through the whole door."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from servers.models import CallsInFlight, Deployment, Run, Server
from tests.e2e.hosting import call
from tests.eventually import eventually
from tests.platform import Platform, hello_files

pytestmark = pytest.mark.core
GREETING = b'    return f"Hello, {name}!"\n'
WAITS = """
    import pathlib, time
    (pathlib.Path(name) / "began").touch()
    while not (pathlib.Path(name) / "may-end").exists():
        time.sleep(0.05)
    return "%s"
"""


def files(version: str) -> dict[str, str | bytes]:
    """The example, whose `greet` says its version when the directory that is its argument lets it."""
    made = hello_files()
    made["server.py"] = bytes(made["server.py"]).replace(GREETING, (WAITS % version).encode())  # type: ignore[arg-type]
    return made


class Calling(threading.Thread):
    """One call of `greet`, which began; `said` is its answer or error."""

    def __init__(self, door: str, server: Server, gate: Path) -> None:
        super().__init__()
        self._about, self.gate, self.said = (door, server), gate, ""
        gate.mkdir()
        self.start()
        eventually((gate / "began").exists, what="the call has begun")

    def run(self) -> None:
        try:
            self.said = call(*self._about, "greet", name=str(self.gate))[1]
        except Exception as error:  # noqa: BLE001  (an exception group of the client's)
            self.said = repr(error)


def test_a_call_ends_on_the_deployment_where_it_began(
    platform: Platform, door: str, tmp_path: Path, settings: Any
) -> None:
    settings.DRAIN_SECONDS = 2.5
    server = platform.server("hello", files("old"))
    first = platform.deploy(server)
    long = Calling(door, server, tmp_path / "long")
    platform.upload(server, files("new"))
    second = platform.deploy(server)
    opened = tmp_path / "open"
    opened.mkdir()
    (opened / "may-end").touch()
    eventually(lambda: call(door, server, "greet", name=str(opened))[1] == "new", what="new calls go there")

    eventually(CallsInFlight.objects.filter(deployment=first, calls=1).exists, what="the gateway says so")
    retired = Run.objects.filter(deployment=first, endpoint="")
    eventually(retired.exists, within=120, what="no new call goes to the old one")
    said = CallsInFlight.objects.get(deployment=first).at
    for _ in range(4):
        newer = CallsInFlight.objects.filter(deployment=first, at__gt=said)
        eventually(newer.exists, what="it is said again")
        said = newer.get().at
    assert Deployment.objects.get(pk=first.pk).live_run is not None

    (long.gate / "may-end").touch()
    long.join(120)
    assert long.said == "old"
    eventually(lambda: Deployment.objects.get(pk=first.pk).live_run is None, what="the old one has ended")
    eventually(lambda: not CallsInFlight.objects.exists(), what="nothing is said of it any more")
    assert platform.fresh(server).serving == second


def test_a_call_that_takes_too_long_is_told_why(
    platform: Platform, door: str, tmp_path: Path, settings: Any
) -> None:
    settings.DRAIN_CALLS_SECONDS, settings.STOP_GRACE_SECONDS = 0, 60
    server = platform.server("hello", files("old"))
    platform.deploy(server)
    long = Calling(door, server, tmp_path / "long")
    platform.upload(server, files("new"))
    platform.deploy(server)
    long.join(120)
    assert "stopped or deployed anew" in long.said
