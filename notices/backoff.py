"""Decides when a notice is tried again: the pauses grow, to about sixteen hours in all. Pure."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

WAITS = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800)
MOST_TRIES = len(WAITS) + 1
JITTER = 0.2
LONGEST = timedelta(days=1)


def wait(attempts: int, retry_after: str, now: datetime) -> timedelta:
    """Returns the pause after `attempts` tries, but at least the receiver's Retry-After, up to LONGEST."""
    seconds = WAITS[min(attempts, len(WAITS)) - 1]
    ours = timedelta(seconds=seconds * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311  (no secret)
    return max(ours, min(_asked(retry_after, now), LONGEST))


def _asked(retry_after: str, now: datetime) -> timedelta:
    """Reads a Retry-After (RFC 9110, section 10.2.3): seconds or an HTTP date; zero for anything else."""
    text = retry_after.strip()
    if text.isdecimal() and len(text) < 10:
        return timedelta(seconds=int(text))
    try:
        return parsedate_to_datetime(text) - now
    except (TypeError, ValueError):
        return timedelta()
