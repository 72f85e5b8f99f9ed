"""The live feed of this process, woken by another one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import Settings

from servers.models import Server
from servers.streams import access, storage
from servers.wakeups import bus
from tests.accounts import token_of
from tests.servers.streams.live import Client
from tests.servers.wakeups.other import SENDS, Other, other, this_database

pytestmark = [pytest.mark.slow, pytest.mark.core]


def write(server: Server, number: int) -> str:
    """Writes an event without a wake-up; returns its channel."""
    channel = access.metrics_channel(server.pk)
    storage.append(channel, [("metric", orjson.dumps({"number": number}).decode())])
    return channel


def numbers(client: Client, count: int) -> list[int]:
    return [orjson.loads(event.data)["number"] for event in client.take(count, "metric")]


@pytest.fixture
def only_wakeups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the look at the positions."""
    monkeypatch.setattr("servers.streams.feed.LOOK_EVERY", 3600.0)


@pytest.fixture
def following(
    only_wakeups: None, settings: Settings, tmp_path: Path, live_feed: str, owner: User, server: Server
) -> Iterator[Client]:
    settings.DATA_DIR = tmp_path
    headers = {"Authorization": f"Bearer {token_of(owner)}"}
    with Client(f"{live_feed}/api/servers/{server.pk}/metrics/stream/", **headers) as client:
        client.take(1, "stream-open")
        yield client


@pytest.fixture
def elsewhere(following: Client, tmp_path: Path) -> Iterator[Other]:
    with other(SENDS, this_database(), tmp_path) as made:
        yield made


def test_other_processes_wake_us_at_once(following: Client, elsewhere: Other, server: Server) -> None:
    for number in range(100):
        elsewhere.send(write(server, number))
    assert numbers(following, 100) == list(range(100))


def test_what_was_missed_is_read_when_others_are_heard_again(following: Client, server: Server) -> None:
    write(server, 1)
    bus.tell(None)
    assert numbers(following, 1) == [1]
