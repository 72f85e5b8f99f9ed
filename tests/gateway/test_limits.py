"""Calls per minute: how buckets count, and what callers are told."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from gateway.errors import Refusal
from gateway.limits import Limits
from gateway.options import Options
from gateway.types import Receive, Scope, Send
from servers.models import Server, Token

from .conftest import JSON, Running, Upstream, bearer, call, host, in_database, running_gateway, token, until

pytestmark = pytest.mark.core


def admitted(limits: Limits, *bounds: tuple[str, int], cost: int = 1) -> bool:
    try:
        limits.take(bounds, cost)
    except Refusal:
        return False
    return True


def test_a_minutes_worth_passes_and_no_more() -> None:
    limits = Limits()
    assert [admitted(limits, ("a", 3)) for _ in range(5)] == [True, True, True, False, False]
    assert admitted(limits, ("b", 3))


def test_a_refused_call_costs_nothing() -> None:
    limits = Limits()
    assert admitted(limits, ("a", 1), ("b", 2))
    assert not admitted(limits, ("a", 1), ("b", 2))
    assert admitted(limits, ("b", 2))


def test_none_is_no_limit_and_holds_nothing() -> None:
    limits = Limits()
    assert all(admitted(limits, ("a", 0)) for _ in range(1000))
    assert not limits._buckets


def test_buckets_refill(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("access.buckets.time.monotonic", lambda: now[0])
    limits = Limits()
    assert [admitted(limits, ("a", 60)) for _ in range(61)] == [True] * 60 + [False]
    now[0] += 2
    assert [admitted(limits, ("a", 60)) for _ in range(3)] == [True, True, False]
    now[0] += 3600
    assert [admitted(limits, ("a", 60)) for _ in range(61)] == [True] * 60 + [False]


def test_a_batch_beyond_the_limit_waits_for_a_full_bucket_and_owes_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr("access.buckets.time.monotonic", lambda: now[0])
    limits = Limits()
    assert admitted(limits, ("a", 60), cost=120)
    now[0] += 60
    assert not admitted(limits, ("a", 60))
    now[0] += 2
    assert admitted(limits, ("a", 60))


def test_the_oldest_buckets_go() -> None:
    limits = Limits(most=2)
    for key in "abc":
        admitted(limits, (key, 1))
    assert list(limits._buckets._levels) == ["b", "c"]


async def answers(gateway: Running, value: str, times: int, body: object = None) -> list[int]:
    got = []
    for _ in range(times):
        headers = bearer(value)
        async with gateway.client.post(
            gateway.mcp("clock"), json=body or call(), headers=headers
        ) as response:
            await response.read()
            got.append(response.status)
    return got


async def test_a_caller_is_told_when_to_come_again(gateway: Running, upstream: Upstream, owner: User) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url), calls_per_minute=2))
    assert await answers(gateway, value, 2) == [200, 200]
    async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(value)) as response:
        assert response.status == 429
        assert 1 <= int(response.headers["retry-after"]) <= 30
        body = await response.json()
    assert (body["id"], body["error"]["data"]["status"]) == (1, 429)
    other = await in_database(lambda: token(owner))
    assert await answers(gateway, other, 1) == [200]
    assert len(upstream.seen) == 3
    assert [row["status"] for row in await gateway.calls()] == [200, 200, 429, 200]


async def test_a_refused_call_in_a_session_is_recorded_with_its_client(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    async def behave(scope: Scope, receive: Receive, send: Send) -> None:
        head = [*JSON, (b"mcp-session-id", b"inner")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b'{"jsonrpc":"2.0","id":1,"result":{}}'})

    upstream.behave = behave
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url), calls_per_minute=1))
    about = {"name": "probe", "version": "1"}
    first = call("initialize", protocolVersion="2025-11-25", clientInfo=about)
    async with gateway.client.post(gateway.mcp("clock"), json=first, headers=bearer(value)) as response:
        session = response.headers["mcp-session-id"]
    headers = bearer(value, **{"mcp-session-id": session})
    async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=headers) as response:
        assert response.status == 429
    rows = [(row["status"], row["client"], row["protocol_version"]) for row in await gateway.calls()]
    assert rows == [(200, "probe 1", "2025-11-25"), (429, "probe 1", "2025-11-25")]


async def test_a_server_has_its_own_limit_for_all_callers(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    def make() -> tuple[str, str]:
        host(owner, "clock", upstream.url, calls_per_minute=3)
        return token(owner), token(owner)

    first, second = await in_database(make)
    assert await answers(gateway, first, 2) == [200, 200]
    assert await answers(gateway, second, 2) == [200, 429]


async def test_each_message_of_a_batch_counts(gateway: Running, upstream: Upstream, owner: User) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url), calls_per_minute=4))
    assert await answers(gateway, value, 2, [call(), call(), call()]) == [200, 429]


async def test_the_end_of_a_session_is_never_refused(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url), calls_per_minute=1))
    assert await answers(gateway, value, 2) == [200, 429]
    async with gateway.client.delete(gateway.mcp("clock"), headers=bearer(value)) as response:
        assert response.status == 200


async def test_a_changed_limit_holds_soon(gateway: Running, upstream: Upstream, owner: User) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    assert await answers(gateway, value, 5) == [200] * 5
    await in_database(lambda: Server.objects.update(calls_per_minute=1))

    async def refused() -> bool:
        return await answers(gateway, value, 1) == [429]

    await until(refused)
    await in_database(lambda: Server.objects.update(calls_per_minute=10_000))
    await in_database(lambda: Token.objects.update(calls_per_minute=10_000))

    async def admitted_again() -> bool:
        return await answers(gateway, value, 1) == [200]

    await until(admitted_again)


async def test_settings_hold_where_nothing_is_said(
    transactional_db: None, upstream: Upstream, owner: User
) -> None:
    def make() -> tuple[str, str]:
        server = host(owner, "clock", upstream.url)
        return token(owner, server), token(owner, server, calls_per_minute=50)

    usual, own = await in_database(make)
    async with running_gateway(Options(rate_per_token=1, rate_per_server=4)) as running:
        assert await answers(running, usual, 2) == [200, 429]
        assert await answers(running, own, 4) == [200, 200, 200, 429]
