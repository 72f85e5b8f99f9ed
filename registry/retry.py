"""Decides when to try again and how long to wait, and stops at once even while a call blocks."""

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
    """The limits of a push. `attempts` counts the first one, too; all times are in seconds.

    `max_delay` bounds the backoff; the delay that a registry asks for is bounded by `MAX_RETRY_AFTER`.
    `deadline` bounds a push with all its attempts. `stall` bounds the time without progress in an engine's
    messages: an engine waits for a silent registry without a limit, and may repeat its messages meanwhile.
    """

    attempts: int = 3
    base_delay: float = 1.0
    max_delay: float = 30.0
    deadline: float = 1800.0
    stall: float = 300.0

    def delay(self, attempt: int, retry_after: float | None) -> float:
        """Returns the seconds to wait after `attempt` failed.

        That is exponential backoff, half of it random, or `retry_after` if that is longer.
        """
        step = min(self.base_delay * 2.0 ** (attempt - 1), self.max_delay)
        jittered = step / 2 + random.uniform(0, step / 2)  # noqa: S311 spreads load, guards nothing
        return max(jittered, retry_after or 0.0)


class Deadline:
    """The end of a piece of work: by the policy's deadline, or by the caller's control."""

    def __init__(self, policy: PushPolicy, control: Control) -> None:
        self._end = time.monotonic() + policy.deadline
        self._seconds = policy.deadline
        self._control = control

    def allows(self, seconds: float) -> bool:
        """Tells whether a wait of so many seconds ends before the deadline."""
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
        """Waits, and checks the deadline several times a second."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, TICK))
        self.check()

    def run(self, act: Callable[[], T]) -> T:
        """Runs `act`, which may block, in a thread, and returns its result.

        When the deadline ends, the thread is abandoned; `act` then ends by its own timeout.
        """
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
