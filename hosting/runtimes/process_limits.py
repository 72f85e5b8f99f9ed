"""Whether a run of processes keeps to its limits, and what has to end if not: the decision, not the deed.

As the kernel does it for a container, the largest process goes first: behind the bridge that is one client's
session and not the server. The whole run goes when its first process is the largest, or when it uses twice
what it may (many small processes: ending one of them would change nothing).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from hosting.runtimes import process_table

TOO_FAR = 2


@dataclass(frozen=True)
class Excess:
    """`culprit` None: the whole run has to end."""

    reason: str
    culprit: psutil.Process | None


def excess(leader: int, family: Sequence[psutil.Process], *, memory_mb: int, pids: int) -> Excess | None:
    """What the family of the process `leader` uses too much of; limits of 0 are none."""
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
