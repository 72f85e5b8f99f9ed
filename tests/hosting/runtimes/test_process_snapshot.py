"""One look at all processes, as Linux and as psutil tell it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator

import psutil
import pytest

from hosting.runtimes import process_snapshot, process_table
from hosting.runtimes.process_snapshot import Entry, Snapshot
from tests.eventually import eventually

# A child in the same session, one in a session of its own, and one whose parent has ended.
FAMILY = """
import subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)  # (a name) with spaces"]
subprocess.Popen(sleep)
subprocess.Popen(sleep, start_new_session=True)
subprocess.run([sys.executable, "-c", f"import subprocess; subprocess.Popen({sleep!r})"])
print("ready", flush=True)
time.sleep(600)
"""
SOURCES = pytest.mark.parametrize(
    "source", [process_snapshot.from_proc, process_snapshot.from_psutil], ids=["proc", "psutil"]
)
Source = Callable[[], Iterable[Entry]]


@pytest.fixture
def leader() -> Iterator[psutil.Process]:
    child = subprocess.Popen([sys.executable, "-c", FAMILY], start_new_session=True, stdout=subprocess.PIPE)
    assert child.stdout
    assert child.stdout.readline() == b"ready\n"
    process = psutil.Process(child.pid)
    members = process_table.family(child.pid, process.create_time())
    yield process
    for each in members:
        each.kill()
    child.wait()
    child.stdout.close()


@SOURCES
def test_a_family_is_found_as_run_by_run(leader: psutil.Process, source: Source) -> None:
    wanted = {each.pid for each in process_table.family(leader.pid, leader.create_time())}
    found = Snapshot(source()).family(leader.pid, leader.create_time())
    assert {each.pid for each in found} == wanted
    assert len(wanted) == 4


@SOURCES
def test_what_a_process_uses_is_told(leader: psutil.Process, source: Source) -> None:
    found = {each.pid: each for each in source()}[leader.pid]
    assert (found.parent, found.session) == (leader.ppid(), leader.pid)
    assert found.tasks == 1
    assert found.started == pytest.approx(leader.create_time(), abs=1)
    assert found.memory == pytest.approx(leader.memory_info().rss, rel=0.2)
    assert found.cpu == pytest.approx(sum(leader.cpu_times()[:4]), abs=0.05)


@SOURCES
def test_a_zombie_and_another_process_with_its_pid_are_not_alive(
    leader: psutil.Process, source: Source
) -> None:
    pid, started = leader.pid, leader.create_time()
    assert Snapshot(source()).is_alive(pid, started)
    assert not Snapshot(source()).is_alive(pid, started - 3600)
    assert Snapshot(source()).family(pid, started - 3600) == []
    leader.kill()  # its parent, this process, does not ask for its exit code
    eventually(lambda: leader.status() == psutil.STATUS_ZOMBIE, what="it has ended")
    assert not Snapshot(source()).is_alive(pid, started)
    assert pid not in {each.pid for each in Snapshot(source()).family(pid, started)}


def test_this_system_is_read_at_once(leader: psutil.Process) -> None:
    assert process_snapshot.taken().is_alive(leader.pid, leader.create_time())


# Where a process may not look at those with more capabilities, as a user may not at those of others.
HIDDEN = "mount -t proc -o hidepid=1,gid=65534 proc /proc && setpriv --bounding-set=-all --inh-caps=-all "
LOOKS = """
import os
from hosting.runtimes import process_snapshot
try:
    open("/proc/1/stat")
except PermissionError:
    print([each.pid for each in process_snapshot.taken()._by_pid.values()] == [os.getpid()])
"""


def test_processes_that_may_not_be_seen_are_passed_over() -> None:
    apart = ["unshare", "--mount", "--pid", "--fork", "setsid", "sh", "-c", f'{HIDDEN} "$@"; true']
    if not shutil.which(apart[0]) or subprocess.run([*apart, "sh", "true"], capture_output=True).stderr:
        pytest.skip("only root has another /proc")
    looked = subprocess.run([*apart, "sh", sys.executable, "-c", LOOKS], capture_output=True, text=True)
    assert looked.stdout == "True\n", looked.stderr
