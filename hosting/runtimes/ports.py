"""Finds ports of the loopback address for servers, which get theirs in PORT."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 1.0


def free_port() -> int:
    """A port that is free now. Another program may take it first, so the caller has to try again then."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(CONNECT_SECONDS)
        return probe.connect_ex((LOOPBACK, port)) == 0
