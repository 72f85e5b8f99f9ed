"""Names workers, so that the name shows whether a worker can still be alive."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

import psutil

PROC = Path("/proc/self")


@functools.cache
def me() -> str:
    """Returns the name of this process: `host/pid/start`, with the start from `_started`."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(worker: str) -> bool:
    """Tells whether this worker ran on this host and has ended. False for a worker of another host."""
    host, pid, started = worker.rsplit("/", 2)
    if host != socket.gethostname():
        return False
    try:
        return _started(int(pid)) != started
    except psutil.NoSuchProcess:
        return True


def _started(pid: int) -> str:
    """Returns when a process started. Raises `psutil.NoSuchProcess`.

    It is in clock ticks since the boot, which no change of the clock moves (proc(5), field 22). Without /proc
    it is in milliseconds since the epoch.
    """
    if not PROC.exists():
        return str(round(psutil.Process(pid).create_time() * 1000))
    try:
        return (PROC.parent / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        raise psutil.NoSuchProcess(pid) from None
