"""Who works: a worker's name tells whether it can still be alive."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

import psutil

PROC = Path("/proc/self")


@functools.cache
def me() -> str:
    """`host/pid/start` of this process; start is what `_started` says."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(worker: str) -> bool:
    """True when that process ran on this host and does so no more. Of another host one can't tell: False."""
    host, pid, started = worker.rsplit("/", 2)
    if host != socket.gethostname():
        return False
    try:
        return _started(int(pid)) != started
    except psutil.NoSuchProcess:
        return True


def _started(pid: int) -> str:
    """Clock ticks since the boot, which no change of the clock moves (proc(5), field 22); milliseconds since
    the epoch where there is no /proc. Raises `psutil.NoSuchProcess`.
    """
    if not PROC.exists():
        return str(round(psutil.Process(pid).create_time() * 1000))
    try:
        return (PROC.parent / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        raise psutil.NoSuchProcess(pid) from None
