"""`kill -9` of the platform after each step of a deployment, and with servers running."""

from __future__ import annotations

import pytest

from tests.eventually import eventually
from tests.platform import hello_files

from .crashing import at_work_for, deploy, here, killed_at, leaves_nothing, reached, server_that, serves_once
from .upping import Machine, archive

__all__ = ["here"]
pytestmark = pytest.mark.real

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


@pytest.mark.parametrize(
    "event", ["deploy started", "clone succeeded", "start started", "discover started", "deploy succeeded"]
)
def test_at_any_moment(here: Machine, event: str) -> None:
    killed_at(here, event, hello_files())
    again = here.start()
    serves_once(here)
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
