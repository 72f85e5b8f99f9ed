"""Sets how many files and sockets this process may open, and how many connections that allows."""

from __future__ import annotations

import resource

# Programs that we start inherit the limit; some try to close each number up to it.
HIGHEST = 65_536
RESERVE = 256  # files, pipes, the database


def raise_limit() -> int:
    """Raises the soft limit to the hard one, at most to HIGHEST. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HIGHEST if hard == resource.RLIM_INFINITY else min(hard, HIGHEST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else HIGHEST
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def connections_within(descriptors: int) -> int:
    """Returns how many connections `descriptors` allow.

    Each may need a second descriptor: a connection to a hosted server, or the file of an upload.
    """
    return (descriptors - min(RESERVE, descriptors // 4)) // 2
