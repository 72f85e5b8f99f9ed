"""Loopback ports for servers that have to be told theirs."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 1.0


def free_port() -> int:
    """A port that was free a moment ago. Whoever uses it must cope with somebody else being faster."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(CONNECT_SECONDS)
        return probe.connect_ex((LOOPBACK, port)) == 0
