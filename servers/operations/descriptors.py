"""How many files and sockets this process may have open, and how many connections that allows."""

from __future__ import annotations

import resource

# Programs that we start inherit the limit; some of them close each number up to it.
HIGHEST = 65_536
RESERVE = 256  # files, pipes, the database


def raise_limit() -> int:
    """Raises the soft limit as far as the hard one allows, at most to HIGHEST; returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HIGHEST if hard == resource.RLIM_INFINITY else min(hard, HIGHEST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else HIGHEST
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def connections_within(descriptors: int) -> int:
    """Each may need another descriptor: the gateway's to a hosted server, or the file of an upload."""
    return (descriptors - min(RESERVE, descriptors // 4)) // 2
