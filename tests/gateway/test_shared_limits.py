"""Limits that several gateway processes share, with a real Redis."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis
from django.contrib.auth.models import User

from gateway import shared_limits
from gateway.errors import Refusal
from gateway.limits import Limits
from gateway.options import Options
from gateway.shared_limits import SharedLimits

from .conftest import Upstream, bearer, call, host, in_database, running_gateway, token

pytestmark = [pytest.mark.real]
KEY = ("token", 1)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stalls for a moment is no Redis that is away."""
    monkeypatch.setattr(shared_limits, "PATIENCE", 30.0)


@pytest.fixture
async def processes(redis_url: str) -> AsyncIterator[list[SharedLimits]]:
    prefix = uuid.uuid4().hex
    made = [SharedLimits(redis_url, prefix, Limits()) for _ in range(3)]
    yield made
    for each in made:
        await each.close()


async def admitted(limits: SharedLimits, rate: int, cost: int = 1) -> bool:
    try:
        await limits.admit([(KEY, rate)], cost)
    except Refusal:
        return False
    return True


async def test_a_minutes_worth_passes_through_all_together(processes: list[SharedLimits]) -> None:
    began = time.monotonic()
    passed = [await admitted(processes[at % 3], 60) for at in range(200)]
    assert 60 <= sum(passed) <= 61 + (time.monotonic() - began)  # one more with every second
    assert not all(passed[-3:])


async def test_one_that_takes_all_leaves_nothing_to_the_others(processes: list[SharedLimits]) -> None:
    assert await admitted(processes[0], 60, cost=100)
    assert not any([await admitted(each, 60) for each in processes])


async def test_a_busy_key_asks_once_for_a_seconds_worth(
    processes: list[SharedLimits], redis_url: str
) -> None:
    client = redis.Redis.from_url(redis_url)
    client.config_resetstat()
    for _ in range(1000):
        assert await admitted(processes[0], 60_000)
    asked = client.info("commandstats")["cmdstat_eval"]["calls"]
    assert asked <= 3


async def test_a_refused_call_does_not_ask_again(processes: list[SharedLimits], redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    assert await admitted(processes[0], 1)
    assert not await admitted(processes[0], 1)
    client.config_resetstat()
    assert not any([await admitted(processes[0], 1) for _ in range(50)])
    assert "cmdstat_eval" not in client.info("commandstats")


async def test_a_batch_that_is_refused_does_not_hold_up_single_calls(processes: list[SharedLimits]) -> None:
    assert await admitted(processes[0], 60, cost=30)
    assert not await admitted(processes[0], 60, cost=50)
    assert await admitted(processes[0], 60)


async def test_a_changed_limit_holds_at_once(processes: list[SharedLimits]) -> None:
    assert await admitted(processes[0], 1)
    assert not await admitted(processes[0], 1)
    assert await admitted(processes[0], 600_000)


async def test_each_counts_for_itself_while_redis_is_away() -> None:
    alone = SharedLimits("redis://127.0.0.1:1/0", "nobody", Limits())
    assert [await admitted(alone, 3) for _ in range(5)] == [True] * 3 + [False] * 2
    await alone.close()


async def test_two_gateways_share_a_tokens_limit(
    redis_url: str, options: Options, transactional_db: None, upstream: Upstream, owner: User
) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url), calls_per_minute=4))
    shared = replace(options, redis_url=redis_url, shared_prefix=uuid.uuid4().hex)
    async with running_gateway(shared) as one, running_gateway(shared) as other:
        got = []
        for gateway in (one, other, one, other, one, other):
            async with gateway.client.post(
                gateway.mcp("clock"), json=call(), headers=bearer(value)
            ) as response:
                got.append(response.status)
    assert got == [200] * 4 + [429] * 2
