"""All processes of this machine at one moment, so that one look answers for all runs.

To ask psutil run by run costs a scan of /proc for each question about each run. Here /proc is scanned once:
`/proc/<pid>/stat` says who its parent is, which session it is in, and what it uses (proc_pid_stat(5)).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

import psutil

from hosting.errors import RuntimeFault
from hosting.runtimes.process_table import CLOCK_TOLERANCE

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LONGEST = 1024  # bytes of a stat: its about fifty numbers and a name of at most 64 characters fit


class Entry(NamedTuple):
    """One process. `started` is in seconds, as psutil's `create_time`. `memory` is the resident memory in
    bytes, which the kernel may count late by some pages. `cpu` is the CPU time in seconds, with that of its
    children that have ended. `tasks` is the number of its threads.
    """

    pid: int
    parent: int
    session: int
    is_zombie: bool
    started: float
    tasks: int
    memory: int
    cpu: float


class Snapshot:
    """The processes of one moment. What is said of runs here is said as of that moment."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_pid = {entry.pid: entry for entry in entries}

    def is_alive(self, pid: int, create_time: float) -> bool:
        """Whether the process with this pid and start time runs. A zombie does not."""
        found = self._by_pid.get(pid)
        return bool(found and _is_same(found, create_time) and not found.is_zombie)

    def family(self, pid: int, create_time: float) -> list[Entry]:
        """As `process_table.family`: the living processes of the session that `pid` leads, and its
        descendants in other sessions; [] where that process is gone or another one has its pid now.
        """
        leader = self._by_pid.get(pid)
        if not leader or not _is_same(leader, create_time):
            return []
        found = {each.pid: each for each in [*self._sessions.get(pid, ()), *self._descendants(leader)]}
        return [each for each in found.values() if not each.is_zombie]

    @cached_property
    def _sessions(self) -> dict[int, list[Entry]]:
        found: dict[int, list[Entry]] = {}
        for entry in self._by_pid.values():
            found.setdefault(entry.session, []).append(entry)
        return found

    @cached_property
    def _children(self) -> dict[int, list[Entry]]:
        found: dict[int, list[Entry]] = {}
        for entry in self._by_pid.values():
            found.setdefault(entry.parent, []).append(entry)
        return found

    def _descendants(self, leader: Entry) -> list[Entry]:
        found, seen = [leader], {leader.pid}
        for each in found:  # it grows meanwhile
            new = [child for child in self._children.get(each.pid, ()) if child.pid not in seen]
            found += new
            seen.update(child.pid for child in new)
        return found


def taken() -> Snapshot:
    """The processes of this moment. Raises `RuntimeFault` where the system does not let them be read."""
    try:
        return Snapshot(from_proc() if os.path.exists("/proc/self/stat") else from_psutil())
    except OSError as error:
        raise RuntimeFault(
            f"The processes of this machine cannot be read: {error.strerror}.",
            hint="See whether this machine is out of file descriptors.",
            permanent=False,
        ) from error


def from_proc() -> Iterator[Entry]:
    """As Linux lists them, without the kernel's own threads."""
    boot = psutil.boot_time()
    for name in os.listdir("/proc"):
        if name.isdecimal() and _has_session(int(name)) and (stat := _stat(name)):
            yield _entry(int(name), stat, boot)


def from_psutil() -> Iterator[Entry]:
    """As any system lists them. What this user may not know of a process counts as 0."""
    for process in psutil.process_iter():
        try:
            yield _asked(process)
        except (psutil.Error, ProcessLookupError):
            continue


def _has_session(pid: int) -> bool:
    """Whether it may belong to a run: each begins a session. Threads of the kernel have none. A large machine
    has a thousand of them, and to read what they are costs much more than this question.
    """
    try:
        return os.getsid(pid) != 0
    except OSError:  # it has ended, which is seen when it is read, or nothing is said of its session
        return True


def _stat(pid: str) -> bytes:
    """b"" for a process that has ended meanwhile, and for one that this user may not see (`hidepid=1` of
    proc(5)). Every other error is raised: it says nothing of an end.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _LONGEST)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # the second also of `open`
        return b""


def _entry(pid: int, stat: bytes, boot: float) -> Entry:
    """Parses what follows the name, which may hold any characters: field 3, the state, is at index 0."""
    fields = stat[stat.rindex(b")") + 2 :].split(maxsplit=22)
    return Entry(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        is_zombie=fields[0] in (b"Z", b"X"),
        started=boot + int(fields[19]) / _TICKS,
        tasks=int(fields[17]),
        memory=int(fields[21]) * _PAGE,
        cpu=sum(map(int, fields[11:15])) / _TICKS,
    )


def _asked(process: psutil.Process) -> Entry:
    about = process.as_dict(
        ["ppid", "status", "create_time", "num_threads", "memory_info", "cpu_times"], ad_value=None
    )
    return Entry(
        pid=process.pid,
        parent=about["ppid"] or 0,
        session=os.getsid(process.pid),
        is_zombie=about["status"] == psutil.STATUS_ZOMBIE,
        started=about["create_time"] or 0.0,
        tasks=about["num_threads"] or 0,
        memory=about["memory_info"].rss if about["memory_info"] else 0,
        cpu=sum(about["cpu_times"][:4]) if about["cpu_times"] else 0.0,
    )


def _is_same(entry: Entry, create_time: float) -> bool:
    return abs(entry.started - create_time) <= CLOCK_TOLERANCE
