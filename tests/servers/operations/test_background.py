"""The loops of the background: what wakes them, and what an idle platform asks its database."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest
from django.db import connections
from django.db.backends.signals import connection_created

from servers.operations.background import Loop
from servers.operations.leader import Leader
from tests.eventually import eventually
from tests.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
LONG = 3600.0
SETTLES, WATCHED = 10.0, 15.0  # seconds, which are the matter here
LOCK = "pg_"  # of the leader, which has to look more often


class Led(Leader):
    """Leads when it is told to."""

    leading = True

    def leads(self) -> bool:
        return self.leading


@pytest.fixture
def looks() -> Queue[int]:
    return Queue()


@pytest.fixture
def loop(looks: Queue[int]) -> Iterator[Callable[..., Loop]]:
    """Starts loops, and ends them."""
    started: list[Loop] = []

    def make(work: Callable[[], float | None] | None = None, **options: Any) -> Loop:
        made = Loop("looks", work or (lambda: looks.put(1)), **{"seconds": LONG, "led": Led(), **options})
        started.append(made)
        made.thread.start()
        return made

    yield make
    for each in started:
        each.end()
        each.thread.join(60)
        assert not each.thread.is_alive()


def test_a_wake_up_about_its_topic_ends_the_pause(loop: Any, looks: Queue[int]) -> None:
    made = loop(topic="statuses")
    looks.get(timeout=60)
    made.hear("something else")
    made.hear("statuses")
    looks.get(timeout=60)
    made.hear(None)
    looks.get(timeout=60)
    assert looks.empty()


def test_one_that_comes_during_the_work_is_not_lost(loop: Any) -> None:
    begun, go_on = Queue[int](), threading.Semaphore(0)

    def work() -> None:
        begun.put(1)
        go_on.acquire(timeout=60)

    made = loop(work, topic="statuses")
    begun.get(timeout=60)
    made.hear("statuses")
    go_on.release(2)
    begun.get(timeout=60)


def test_a_failure_does_not_end_it(loop: Any, looks: Queue[int]) -> None:
    def work() -> None:
        looks.put(1)
        raise RuntimeError("the database is away")

    made = loop(work)
    looks.get(timeout=60)
    made.wake()
    looks.get(timeout=60)


def test_a_wake_up_is_not_lost_with_work_that_fails(loop: Any, looks: Queue[int]) -> None:
    def work() -> None:
        looks.put(1)
        raise RuntimeError("the database is locked")

    loop(work, topic="statuses")
    for _ in range(2):
        looks.get(timeout=60)


def test_work_says_how_long_it_may_pause(loop: Any, looks: Queue[int]) -> None:
    def work() -> float:
        looks.put(1)
        return 0.01

    loop(work)
    for _ in range(3):
        looks.get(timeout=60)


def test_who_does_not_lead_does_nothing_until_it_does(loop: Any, looks: Queue[int]) -> None:
    led = Led()
    led.leading = False
    made = loop(led=led)
    made.hear(None)
    led.leading = True
    made.hear(None)
    looks.get(timeout=60)
    assert looks.empty()


def test_who_leads_no_more_lets_go_and_so_does_who_ends(loop: Any) -> None:
    led, let_go = Led(), Queue[str]()
    follows = loop(led=led, rest=lambda: let_go.put("follows"))
    led.leading = False
    follows.wake()
    assert let_go.get(timeout=60) == "follows"
    loop(rest=lambda: let_go.put("ends")).end()
    eventually(lambda: let_go.get(timeout=60) == "ends")


class Asked:
    """Counts the queries of all threads, by their text."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def note(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.counts[sql] += 1
        return execute(sql, params, many, context)

    def follow(self, connection: Any, **_: Any) -> None:
        connection.execute_wrappers[:] = [self.note]


@pytest.fixture
def asked() -> Iterator[Asked]:
    """Connections that are made from now on are listened to."""
    made = Asked()
    connection_created.connect(made.follow)
    yield made
    connection_created.disconnect(made.follow)
    for each in connections.all():
        each.execute_wrappers.clear()


@pytest.mark.core
def test_an_idle_platform_asks_nothing_more_than_once_in_five_seconds(
    asked: Asked, platform: Platform
) -> None:
    server = platform.hello()
    platform.ended(platform.request(server))
    time = threading.Event()
    time.wait(SETTLES)
    asked.counts.clear()
    time.wait(WATCHED)
    often = {sql: count for sql, count in asked.counts.items() if count > WATCHED / 5 + 1 and LOCK not in sql}
    assert not often, often
