"""Wake-ups through a real Redis, and without it when it goes away."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import orjson
import pytest
import redis
from django.contrib.auth.models import User
from pytest_django.fixtures import Settings

from deploy.bench.requirement import program
from deploy.bench.workspace import free_port
from servers.models import Server
from servers.streams import access, bus, storage
from tests.accounts import token_of
from tests.eventually import eventually
from tests.servers.streams.live import Client

pytestmark = pytest.mark.real


class OwnRedis:
    """A Redis of this test's, to stop and start."""

    def __init__(self) -> None:
        self.port = free_port()
        self.client = redis.Redis(port=self.port)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        eventually(self.answers)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def subscribers(self) -> int:
        return int(self.client.pubsub_numsub(bus.TOPIC)[0][1])


@pytest.fixture
def own_redis(settings: Settings) -> Iterator[OwnRedis]:
    started = OwnRedis()
    settings.REDIS_URL = f"redis://127.0.0.1:{started.port}/0"
    yield started
    started.stop()


def write_elsewhere(server: Server, number: int) -> None:
    """As another process does: its listeners are not ours, only its messages reach us."""
    channel = access.metrics_channel(server.pk)
    storage.append(channel, [("metric", orjson.dumps({"number": number}).decode())])
    bus.send(channel)


def numbers(client: Client, count: int) -> list[int]:
    return [orjson.loads(event.data)["number"] for event in client.take(count, "metric")]


@pytest.fixture
def following(own_redis: OwnRedis, live_feed: str, owner: User, server: Server) -> Iterator[Client]:
    headers = {"Authorization": f"Bearer {token_of(owner)}"}
    with Client(f"{live_feed}/api/servers/{server.pk}/metrics/stream/", **headers) as client:
        client.take(1, "stream-open")
        yield client


@pytest.fixture
def only_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the look at the positions."""
    monkeypatch.setattr("servers.streams.feed.LOOK_EVERY", 3600.0)


def test_other_processes_wake_us_at_once(
    only_messages: None, own_redis: OwnRedis, following: Client, server: Server
) -> None:
    eventually(lambda: own_redis.subscribers() == 1)
    for number in range(100):
        write_elsewhere(server, number)
    assert numbers(following, 100) == list(range(100))


def test_an_outage_loses_nothing(own_redis: OwnRedis, following: Client, server: Server) -> None:
    eventually(lambda: own_redis.subscribers() == 1)
    own_redis.stop()
    for number in range(5):
        write_elsewhere(server, number)
    assert numbers(following, 5) == list(range(5))
    own_redis.start()
    eventually(lambda: own_redis.subscribers() == 1)
    write_elsewhere(server, 5)
    assert numbers(following, 1) == [5]


def test_what_an_outage_hid_is_read_once_redis_is_back(
    only_messages: None, own_redis: OwnRedis, following: Client, server: Server
) -> None:
    eventually(lambda: own_redis.subscribers() == 1)
    own_redis.stop()
    write_elsewhere(server, 1)
    own_redis.start()
    assert numbers(following, 1) == [1]
