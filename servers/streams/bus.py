"""Sends wake-ups to other processes, through Redis if REDIS_URL is set.

They may be lost (`servers.streams`).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable

import redis
import redis.asyncio
from django.conf import settings

TOPIC = "mcphost:feed"
TIMEOUT = 1.0
PAUSE = 5.0
logger = logging.getLogger(__name__)


class Sender:
    """Publishes wake-ups.

    If Redis does not answer, it stops trying for PAUSE seconds, so that callers do not wait.
    """

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        self._not_before = 0.0

    def send(self, channel: str) -> None:
        """Publishes a wake-up for a channel. Raises nothing."""
        if time.monotonic() < self._not_before:
            return
        try:
            self._redis.publish(TOPIC, channel)
        except redis.RedisError:
            self._not_before = time.monotonic() + PAUSE
            logger.warning("Redis does not answer; live feeds of other processes lag by a second")


@functools.cache
def _sender(url: str) -> Sender:
    return Sender(url)


def send(channel: str) -> None:
    """Sends a wake-up for a channel to other processes, if REDIS_URL is set. Raises nothing."""
    if settings.REDIS_URL:
        _sender(settings.REDIS_URL).send(channel)


async def listen(wake: Callable[[str], None], missed: Callable[[], None]) -> None:
    """Calls `wake(channel)` for each message, and `missed()` after each new connection.

    Runs until it is cancelled.
    """
    while True:
        try:
            await _listen_once(wake, missed)
        except (redis.RedisError, OSError) as error:
            logger.warning("connection to Redis lost; connecting again: %s", type(error).__name__)
        await asyncio.sleep(TIMEOUT)


async def _listen_once(wake: Callable[[str], None], missed: Callable[[], None]) -> None:
    client = redis.asyncio.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=TIMEOUT,
        # With a timeout it writes through `asyncio.wait_for`. Before Python 3.12, that may lose a
        # cancellation which comes as the write ends, and the listener would never end.
        socket_timeout=None,
        socket_keepalive=True,
        health_check_interval=10,
    )
    async with client, client.pubsub() as subscription:
        await subscription.subscribe(TOPIC)
        missed()
        async for message in subscription.listen():
            if message["type"] == "message":
                wake(message["data"].decode())
