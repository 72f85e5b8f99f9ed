from __future__ import annotations

import threading

import pytest

from registry.errors import RegistryError
from registry.events import NeverCancelled
from registry.retry import Deadline, PushPolicy


class _Stop(Exception):
    pass


class _Control:
    def __init__(self) -> None:
        self.stopped = threading.Event()

    def check(self) -> None:
        if self.stopped.is_set():
            raise _Stop

    def remaining(self) -> float:
        return 60.0


@pytest.mark.parametrize(("attempt", "least", "most"), [(1, 0.5, 1), (2, 1, 2), (3, 2, 4), (10, 15, 30)])
def test_backoff_doubles_with_jitter_up_to_its_bound(attempt: int, least: float, most: float) -> None:
    delays = [PushPolicy().delay(attempt, None) for _ in range(200)]
    assert least <= min(delays) < max(delays) <= most


def test_what_the_registry_asks_for_counts_when_it_is_more() -> None:
    assert PushPolicy().delay(1, 120.0) == 120.0
    assert PushPolicy().delay(1, 0.0) >= 0.5


def test_a_result_an_error_and_none_come_through() -> None:
    deadline = Deadline(PushPolicy(), NeverCancelled())
    assert deadline.run(lambda: 7) == 7
    assert deadline.run(lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        deadline.run(lambda: 1 / 0)


def test_what_blocks_is_left_alone_when_the_work_is_stopped() -> None:
    control, blocked = _Control(), threading.Event()

    def block() -> None:
        control.stopped.set()
        blocked.wait(30)

    with pytest.raises(_Stop):
        Deadline(PushPolicy(), control).run(block)
    blocked.set()


def test_waiting_ends_when_the_work_is_stopped() -> None:
    control = _Control()
    threading.Timer(0.05, control.stopped.set).start()
    with pytest.raises(_Stop):
        Deadline(PushPolicy(), control).wait(30)


def test_the_deadline_is_an_error_of_the_transport() -> None:
    with pytest.raises(RegistryError, match="took longer than 0 s") as raised:
        Deadline(PushPolicy(deadline=0), NeverCancelled()).check()
    assert (raised.value.kind, raised.value.permanent) == ("push", True)


def test_the_nearer_end_decides_whether_a_wait_is_worth_it() -> None:
    deadline = Deadline(PushPolicy(deadline=300), _Control())
    assert deadline.allows(30)
    assert not deadline.allows(90)
    assert not Deadline(PushPolicy(deadline=10), NeverCancelled()).allows(30)
