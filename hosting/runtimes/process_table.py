"""Which processes of this machine belong to which run.

A run is identified by its session (the pid and the start time of the leader) and by a mark in the
environment, which also finds processes that have left the session. A pid alone proves nothing: the system may
have given it to another process since.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")
VARIABLE = "MCPHOST_RUN"
_NAME, _PROC = f"{VARIABLE}=".encode(), Path("/proc")
POLL_SECONDS = 0.05
# The kernel's boot time, which psutil adds to a start time, moves by a second when the clock is adjusted.
CLOCK_TOLERANCE = 2.0


@dataclass(frozen=True)
class Mark:
    """The mark in the environment of each process of a run. `root` is the hash of the platform's directory,
    `token` distinguishes the runs of one deployment.
    """

    server_id: int
    deployment_id: int
    root: str
    token: str

    def __str__(self) -> str:
        return f"{self.server_id}:{self.deployment_id}:{self.root}:{self.token}"

    @classmethod
    def parse(cls, text: str) -> Mark | None:
        """Reads what `str` of a mark gives; None for other text."""
        server, _, rest = text.partition(":")
        deployment, _, rest = rest.partition(":")
        root, _, token = rest.partition(":")
        if not (server.isdecimal() and deployment.isdecimal() and root and token):
            return None
        return cls(int(server), int(deployment), root, token)


def is_alive(pid: int, create_time: float) -> bool:
    """Whether the process with this pid and start time runs. A zombie does not."""
    try:
        process = psutil.Process(pid)
        return _is_same(process, create_time) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def marked(root: str) -> Iterator[tuple[Mark, psutil.Process]]:
    """Every process whose environment says that it was started under `root`."""
    for process in _marked():
        mark = _mark(process)
        if mark and mark.root == root:
            yield mark, process


def family(pid: int, create_time: float) -> list[psutil.Process]:
    """The living processes of the session that `pid` leads, and its descendants in other sessions.

    It is empty when that process is gone, or another one has its pid now. It costs less than `members`, and
    much more than the same question to a `process_snapshot.Snapshot`.
    """
    if not _leads(pid, create_time):
        return []
    descendants = _ask(lambda: psutil.Process(pid).children(recursive=True)) or []
    return _distinct([*_in_session(pid), *(each for each in descendants if not _is_zombie(each))])


def members(pid: int, create_time: float, token: str) -> list[psutil.Process]:
    """The family, and all processes with the mark of the run in any session."""
    bearers = [process for process in _marked() if (mark := _mark(process)) and mark.token == token]
    # The system does not reuse the pid of a dead leader while its session has members. So one marked process
    # in the session proves that the session is that of the run.
    orphans = _in_session(pid) if any(_session_of(process.pid) == pid for process in bearers) else []
    return _distinct([*bearers, *orphans, *family(pid, create_time)])


def send(number: signal.Signals, processes: Iterable[psutil.Process]) -> None:
    """Sends a signal to those that still exist."""
    for process in processes:
        try:
            process.send_signal(number)  # psutil checks the start time again
        except psutil.Error:
            continue


def own(pid: int, create_time: float, token: str) -> list[psutil.Process]:
    """The members of the run that are in the session of `pid`, even where `pid` itself has ended."""
    return [process for process in members(pid, create_time, token) if _session_of(process.pid) == pid]


def until_none(look: Callable[[], Sequence[psutil.Process]], seconds: float) -> bool:
    """Waits until `look` returns no process; False where it still returns one after `seconds`."""
    end = time.monotonic() + seconds
    while look():
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def listening_ports(processes: Iterable[psutil.Process]) -> set[int]:
    """The TCP ports on which they listen."""
    found: set[int] = set()
    for process in processes:
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:
            continue
        found |= {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN and each.laddr}
    return found


def _marked() -> Iterator[psutil.Process]:
    """The processes whose environment may hold a mark."""
    for pid in filter(_may_be_marked, psutil.pids()):
        try:
            yield psutil.Process(pid)
        except psutil.Error:
            continue


def _may_be_marked(pid: int) -> bool:
    """True where the system has no /proc. To look here first costs a tenth of what psutil does."""
    try:
        return _NAME in (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return not _PROC.exists()


def _in_session(leader: int) -> list[psutil.Process]:
    pids = [pid for pid in psutil.pids() if _session_of(pid) == leader]
    found = [_ask(partial(psutil.Process, pid)) for pid in pids]
    return [process for process in found if process and not _is_zombie(process)]


def _is_zombie(process: psutil.Process) -> bool:
    return _ask(process.status) in (psutil.STATUS_ZOMBIE, None)


def _distinct(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    return list({process.pid: process for process in processes}.values())


def _leads(pid: int, create_time: float) -> bool:
    try:
        return _is_same(psutil.Process(pid), create_time)
    except psutil.Error:
        return False


def _is_same(process: psutil.Process, create_time: float) -> bool:
    return abs(process.create_time() - create_time) <= CLOCK_TOLERANCE


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _mark(process: psutil.Process) -> Mark | None:
    try:
        return Mark.parse(process.environ().get(VARIABLE, ""))
    except (psutil.Error, OSError, ValueError):
        return None


def resident_bytes(processes: Iterable[psutil.Process]) -> int:
    """The resident memory in bytes. A page that two processes share counts twice."""
    return sum(memory.rss for each in processes if (memory := _ask(each.memory_info)))


def tasks(processes: Iterable[psutil.Process]) -> int:
    """The number of processes and threads, as the pids limit of a cgroup counts them."""
    return sum(_ask(each.num_threads) or 0 for each in processes)


def _ask(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except psutil.Error:
        return None
