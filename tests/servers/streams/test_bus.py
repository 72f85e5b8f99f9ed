from __future__ import annotations

import asyncio
from typing import Any

import pytest

from servers.streams import bus

pytestmark = pytest.mark.real
WITHIN_MS = 5  # the subscription is made by then


async def test_a_listener_ends_whenever_it_is_told_to(settings: Any, redis_url: str) -> None:
    settings.REDIS_URL = redis_url
    listening = []
    for moment in range(100):
        task = asyncio.ensure_future(bus.listen(lambda channel: None, lambda: None))
        await asyncio.sleep(moment / 100 * WITHIN_MS / 1000)
        task.cancel()
        listening.append(task)
    _, still = await asyncio.wait(listening, timeout=5)
    assert not still, f"{len(still)} of {len(listening)} listen on, each with a connection of its own"
