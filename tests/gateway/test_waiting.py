"""Calls that wait: for a server that starts, for their turn, for an answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from django.contrib.auth.models import User

from gateway.options import Options
from gateway.types import Receive, Scope, Send
from metrics.models import UsageMetric
from servers.models import Server
from servers.states import ServerStatus

from .conftest import (
    EVENTS,
    JSON,
    Running,
    Upstream,
    bearer,
    call,
    deploy,
    host,
    in_database,
    running_gateway,
    token,
    until,
)


class Held:
    """An upstream that answers when the test lets it."""

    def __init__(self) -> None:
        self.calls, self.open = 0, asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        await self.open.wait()
        await send({"type": "http.response.start", "status": 200, "headers": JSON})
        await send({"type": "http.response.body", "body": b'{"jsonrpc":"2.0","id":1,"result":{}}'})


@pytest.fixture
def held(upstream: Upstream) -> Held:
    upstream.behave = Held()
    return upstream.behave


@contextlib.asynccontextmanager
async def a_gateway(server: Server, **options: Any) -> AsyncIterator[tuple[Running, dict[str, str]]]:
    key = await in_database(lambda: token(server.owner, server))
    async with running_gateway(Options(fresh=0.1, **options)) as gateway:
        yield gateway, bearer(key)


async def post(gateway: Running, headers: dict[str, str], **body: Any) -> tuple[int, dict[str, str], Any]:
    sent = {**call(), **body}
    async with gateway.client.post(gateway.mcp("clock"), json=sent, headers=headers) as response:
        return response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read()


async def test_a_call_waits_for_a_server_that_starts(upstream: Upstream, owner: User) -> None:
    server = await in_database(lambda: host(owner, "clock", "", status=ServerStatus.STARTING))
    async with a_gateway(server, cold_start=30) as (gateway, headers):
        calling = asyncio.create_task(post(gateway, headers))
        await until(lambda: len(gateway.gateway._routes._held) == 1)
        assert not calling.done()
        await in_database(lambda: deploy(server, upstream.url))
        assert (await calling)[0] == 200
        (recorded,) = await gateway.calls()
    assert (recorded["outcome"], len(upstream.seen)) == ("ok", 1)


async def test_a_call_does_not_wait_for_ever_nor_for_what_is_not_coming(owner: User) -> None:
    server = await in_database(lambda: host(owner, "clock", "", status=ServerStatus.BUILDING))
    async with a_gateway(server, cold_start=0.3) as (gateway, headers):
        status, answered, _ = await post(gateway, headers)
        assert (status, answered["retry-after"]) == (503, "2")
    await in_database(lambda: Server.objects.update(status=ServerStatus.ERROR))
    async with a_gateway(server, cold_start=30) as (gateway, headers):
        assert (await post(gateway, headers))[0] == 503


async def test_a_caller_that_leaves_while_it_waits_is_let_go(owner: User) -> None:
    server = await in_database(lambda: host(owner, "clock", "", status=ServerStatus.STARTING))
    async with a_gateway(server, cold_start=30) as (gateway, headers):
        calling = asyncio.create_task(post(gateway, headers))
        await until(lambda: len(gateway.gateway._routes._held) == 1)
        calling.cancel()

        async def recorded() -> bool:
            return await in_database(UsageMetric.objects.exists)

        await until(recorded)
        assert [made["outcome"] for made in await gateway.calls()] == ["cancelled"]


async def test_a_call_waits_for_a_server_that_has_just_died(upstream: Upstream, owner: User) -> None:
    """Its row says that it runs until the reconciler has looked; it comes back where it was."""
    with socket.socket() as gone:  # bound, so that nobody else gets its port; nobody listens
        gone.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{gone.getsockname()[1]}/mcp"
        server = await in_database(lambda: host(owner, "clock", dead))
        async with a_gateway(server, cold_start=30) as (gateway, headers):
            calling = asyncio.create_task(post(gateway, headers))
            await until(lambda: len(gateway.gateway._routes._held) == 1)
            await in_database(lambda: deploy(server, upstream.url))
            assert (await calling)[0] == 200


async def test_calls_over_the_limit_wait_for_their_turn(upstream: Upstream, held: Held, owner: User) -> None:
    server = await in_database(lambda: host(owner, "clock", upstream.url))
    async with a_gateway(server, concurrency=2, patience=30) as (gateway, headers):
        calls = [asyncio.create_task(post(gateway, headers)) for _ in range(5)]
        await until(lambda: held.calls == 2)
        # What is no call goes past them: the server may wait for just this to end one.
        answer = {"jsonrpc": "2.0", "id": 7, "result": {}}
        passing = asyncio.create_task(gateway.client.post(gateway.mcp("clock"), json=answer, headers=headers))
        await until(lambda: held.calls == 3)
        held.open.set()
        assert [status for status, *_ in await asyncio.gather(*calls)] == [200] * 5
        (await passing).close()
        await until(lambda: len(gateway.gateway._places) == 0)


async def test_a_call_that_waits_too_long_for_its_turn_is_told_when_to_come_back(
    upstream: Upstream, held: Held, owner: User
) -> None:
    server = await in_database(lambda: host(owner, "clock", upstream.url))
    async with a_gateway(server, concurrency=1, patience=0.2) as (gateway, headers):
        first = asyncio.create_task(post(gateway, headers))
        await until(lambda: held.calls == 1)
        status, answered, body = await post(gateway, headers)
        assert (status, answered["retry-after"]) == (503, "1")
        assert b"answering 1 calls already" in body
        held.open.set()
        assert (await first)[0] == 200
        assert (await post(gateway, headers))[0] == 200


class Reporting:
    """An upstream that reports progress for as long as it is told, and then falls silent but for comments."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.said = seconds, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        end = asyncio.get_running_loop().time() + self.seconds
        while asyncio.get_running_loop().time() < end:
            await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
            self.said += 1
            await asyncio.sleep(0.1)
        while True:
            await send({"type": "http.response.body", "body": b": ping\n\n", "more_body": True})
            await asyncio.sleep(0.1)


async def test_progress_gives_a_call_its_time_again_and_silence_ends_it(
    upstream: Upstream, owner: User
) -> None:
    reporting = upstream.behave = Reporting(seconds=8)
    server = await in_database(lambda: host(owner, "clock", upstream.url))
    async with a_gateway(server, call_timeout=6) as (gateway, headers):
        status, _, body = await post(gateway, headers, id="mine")
        assert (status, body.count(b"data: {}\n\n")) == (200, reporting.said)
        assert body.endswith(b"\n\n")
        assert b'"id":"mine","error":' in body.split(b"data: ")[-1]
        assert [made["outcome"] for made in await gateway.calls()] == ["timeout"]


async def test_an_endless_stream_is_not_timed(upstream: Upstream, held: Held, owner: User) -> None:
    server = await in_database(lambda: host(owner, "clock", upstream.url))
    listen = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen"}
    async with a_gateway(server, call_timeout=2, concurrency=1) as (gateway, headers):
        url = gateway.mcp("clock")
        streams = [
            asyncio.create_task(gateway.client.post(url, json=listen, headers=headers)),
            asyncio.create_task(gateway.client.get(url, headers=headers)),
        ]
        await until(lambda: held.calls == 2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.shield(asyncio.wait(streams, return_when=asyncio.FIRST_COMPLETED))
        held.open.set()
        responses: list[aiohttp.ClientResponse] = await asyncio.gather(*streams)
        assert [response.status for response in responses] == [200, 200]
        for response in responses:
            response.close()
