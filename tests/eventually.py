"""Waits for what another thread or process will do: asks until it is so, and says what was seen if not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
STEP_SECONDS = 0.05


def eventually(ask: Callable[[], T], *, within: float = 60.0, what: str = "") -> T:
    """The first truthy answer of `ask`; an AssertionError after `within` seconds."""
    end = time.monotonic() + within
    while True:
        if answer := ask():
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {within:g} s: {what or ask}")
        time.sleep(STEP_SECONDS)
