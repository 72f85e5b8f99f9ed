"""When to try again, how long to wait before, and how to stop at once while something blocks."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from registry.errors import RegistryError
from registry.events import Control
from registry.reasons import Reason

TICK = 0.2
T = TypeVar("T")


@dataclass(frozen=True)
class PushPolicy:
    """`attempts` in all (the first one included); delays, `deadline` and `stall` in seconds.

    `max_delay` bounds the backoff; what a registry asks for by Retry-After is bounded by `MAX_RETRY_AFTER`.
    `deadline` bounds a push with all its attempts. `stall` bounds the time without any change in an engine's
    progress: engines wait for a silent registry without end, and may repeat themselves while they do.
    """

    attempts: int = 3
    base_delay: float = 1.0
    max_delay: float = 30.0
    deadline: float = 1800.0
    stall: float = 300.0

    def delay(self, attempt: int, retry_after: float | None) -> float:
        """Seconds to wait after `attempt` failed: exponential, half of it jitter, or what was asked for."""
        step = min(self.base_delay * 2.0 ** (attempt - 1), self.max_delay)
        jittered = step / 2 + random.uniform(0, step / 2)  # noqa: S311 spreads load, guards nothing
        return max(jittered, retry_after or 0.0)


class Deadline:
    """The end of a piece of work: the policy's, and the caller's control, asked at every look."""

    def __init__(self, policy: PushPolicy, control: Control) -> None:
        self._end = time.monotonic() + policy.deadline
        self._seconds = policy.deadline
        self._control = control

    def allows(self, seconds: float) -> bool:
        """Whether it is worth waiting so long."""
        return seconds < min(self._end - time.monotonic(), self._control.remaining())

    def check(self) -> None:
        """Raises what the control raises, or `RegistryError` of kind `push` after the policy's deadline."""
        self._control.check()
        if time.monotonic() >= self._end:
            raise RegistryError(
                f"The push took longer than {self._seconds:g} s and was given up.",
                kind="push",
                reason=Reason.STALLED,
            )

    def wait(self, seconds: float) -> None:
        """Waits, and looks several times a second whether it still may."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, TICK))
        self.check()

    def hold(self, act: Callable[[], T]) -> T:
        """The result of `act`, which may block; a stop abandons it to its own timeout, in its thread."""
        outcome: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                outcome.put((act(), None))
            except BaseException as fault:  # noqa: BLE001 raised again where it is awaited
                outcome.put((None, fault))

        self.check()
        threading.Thread(target=run, name="registry-call", daemon=True).start()
        while True:
            try:
                result, fault = outcome.get(timeout=TICK)
            except queue.Empty:
                self.check()
                continue
            if fault is not None:
                raise fault
            return result  # type: ignore[return-value]  # act's own result, which may be None
