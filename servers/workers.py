"""Who works: a worker's name tells whether it can still be alive."""

from __future__ import annotations

import functools
import os
import socket

import psutil


@functools.cache
def me() -> str:
    """`host/pid/start` of this process, start in whole milliseconds since the epoch."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(psutil.Process())}"


def is_gone(worker: str) -> bool:
    """True when that process ran on this host and does so no more. Of another host one can't tell: False."""
    host, pid, started = worker.rsplit("/", 2)
    if host != socket.gethostname():
        return False
    try:
        return str(_started(psutil.Process(int(pid)))) != started
    except psutil.NoSuchProcess:
        return True


def _started(process: psutil.Process) -> int:
    return round(process.create_time() * 1000)
