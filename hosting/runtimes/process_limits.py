"""Decides whether a run of processes is over its limits, and which process has to end. It ends none itself.

The largest process is chosen first, as the kernel does for a container. Behind the bridge that is the process
of one client's session, and the others go on. The whole run has to end when its first process is the largest,
or when the run uses more than twice its limit: then it is many small processes, and to end one would not
help.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from hosting.runtimes import process_table
from hosting.runtimes.process_snapshot import Entry

TOO_FAR = 2


@dataclass(frozen=True)
class Excess:
    """A limit that is exceeded. `culprit` is the process that has to end; None means the whole run."""

    reason: str
    culprit: psutil.Process | None


def may_exceed(family: Sequence[Entry], *, memory_mb: int, pids: int) -> bool:
    """Whether it is worth to ask for the `excess` of these processes, which costs much more.

    A snapshot has the kernel's quick count of memory, by which nothing should be ended.
    """
    memory, tasks = sum(each.memory for each in family) >> 20, sum(each.tasks for each in family)
    return bool((memory_mb and memory > memory_mb) or (pids and tasks > pids))


def excess(leader: int, family: Sequence[psutil.Process], *, memory_mb: int, pids: int) -> Excess | None:
    """The limit that `family`, the processes of a run, exceeds; None where it keeps them.

    `leader` is the pid of the first process. A limit of 0 means no limit.
    """
    return _excess(leader, family, _mebibytes, memory_mb, "MiB of memory") or _excess(
        leader, family, process_table.tasks, pids, "processes and threads"
    )


def _excess(
    leader: int,
    family: Sequence[psutil.Process],
    measure: Callable[[Sequence[psutil.Process]], int],
    limit: int,
    what: str,
) -> Excess | None:
    used = measure(family)
    if not limit or used <= limit:
        return None
    largest = max(family, key=lambda each: measure([each]))
    everything = largest.pid == leader or used > TOO_FAR * limit
    over = f"It used {used} {what}; its limit is {limit}"
    return Excess(
        f"{over}, so it was ended." if everything else f"{over}, so its largest process was ended.",
        None if everything else largest,
    )


def _mebibytes(processes: Sequence[psutil.Process]) -> int:
    return process_table.resident_bytes(processes) >> 20
