"""Wake-ups between real processes: by pipes beside SQLite, by notifications of PostgreSQL."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import pytest
from pytest_django.fixtures import Settings

from servers.streams import feed
from servers.wakeups import bus
from tests.eventually import eventually
from tests.servers.wakeups.other import HEARS, SENDS, other, this_database

pytestmark = [pytest.mark.slow, pytest.mark.core, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def data(settings: Settings, tmp_path: Path) -> Path:
    """A directory whose path is longer than the name of a socket may be."""
    settings.DATA_DIR = tmp_path / ("long" * 50)
    settings.DATA_DIR.mkdir()
    return settings.DATA_DIR


@pytest.fixture
def heard() -> Iterator[Queue[str | None]]:
    """What this process hears, once it listens."""
    topics: Queue[str | None] = Queue()
    with bus.hearing(topics.put):
        assert topics.get(timeout=60) is None
        yield topics


def test_another_process_wakes_us(data: Path, heard: Queue[str | None]) -> None:
    with other(SENDS, this_database(), data) as sender:
        for topic in ("statuses", "notices"):
            sender.send(topic)
            assert heard.get(timeout=60) == topic


def test_our_own_come_once(data: Path, heard: Queue[str | None]) -> None:
    bus.send("ours")
    with other(SENDS, this_database(), data) as sender:
        sender.send("theirs")
    assert [heard.get(timeout=60), heard.get(timeout=60)] == ["ours", "theirs"]
    assert heard.empty()


def test_we_wake_another_process(data: Path) -> None:
    with other(HEARS, this_database(), data) as listener:
        assert listener.heard() == "None"
        bus.send("statuses")
        assert listener.heard() == "statuses"


def test_the_ear_ends_with_the_last_that_hears(data: Path, heard: Queue[str | None]) -> None:
    before = ears()
    with bus.hearing(lambda topic: None):
        assert ears() == before
    bus.send("still heard")
    assert heard.get(timeout=60) == "still heard"


def ears() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "wake-ups"]


def test_nothing_is_left_when_nobody_hears(data: Path) -> None:
    for _ in range(20):
        with bus.hearing(lambda topic: None):
            pass
    eventually(lambda: not ears(), what="the threads have ended")
    assert list(data.rglob("*.wake")) == []


def test_who_could_not_begin_to_listen_is_not_kept(data: Path) -> None:
    with no_descriptors(), pytest.raises(OSError, match="Too many open files"), bus.hearing(print):
        pass
    with bus.hearing(lambda topic: None):
        pass
    eventually(lambda: not ears(), what="the thread has ended")


async def test_a_stream_that_could_not_begin_is_not_kept(data: Path) -> None:
    with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
        await anext(feed.Feed().stream("statuses", None))
    assert feed.listeners() == 0


@contextmanager
def no_descriptors() -> Iterator[None]:
    """For as long as the block runs, none can be opened in this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_ear_goes_on_whatever_happens(data: Path, heard: Queue[str | None]) -> None:
    def stumbles(topic: str | None) -> None:
        if topic == "bad":
            raise ValueError(topic)

    with bus.hearing(stumbles), other(SENDS, this_database(), data) as sender:
        sender.send("bad")
        assert [heard.get(timeout=60), heard.get(timeout=60)] == ["bad", None]
        sender.send("good")
        assert heard.get(timeout=60) == "good"


def test_nobody_has_ever_listened(data: Path) -> None:
    bus.send("statuses")
    assert list(data.iterdir()) == []
