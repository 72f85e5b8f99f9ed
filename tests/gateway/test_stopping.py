"""What becomes of calls and streams when the gateway's process is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import Settings

from cli.management.commands.up import PARTS, grace_of
from gateway.app import Gateway
from gateway.options import Options
from gateway.types import Message, Receive, Scope, Send
from servers.operations import serving

from .conftest import EVENTS, JSON, Upstream, bearer, call, host, in_database, token, until

FOR_EVER = 3600
MODERN = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call"}
LISTEN = {"mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}


@dataclass
class Process:
    """A gateway as `up` serves it; `stop` is what a signal does."""

    url: str
    server: serving.uvicorn.Server
    listener: socket.socket
    stopping: asyncio.Task[None] | None = None

    def stop(self) -> asyncio.Task[None]:
        self.stopping = self.stopping or asyncio.create_task(self.server.shutdown([self.listener]))
        return self.stopping


@contextlib.asynccontextmanager
async def process(options: Options, grace: float) -> AsyncIterator[Process]:
    gateway, listener = Gateway(options), socket.create_server(("127.0.0.1", 0))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await gateway(scope, receive, send)

    server = serving.server_of(app, grace)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listener])
    made = Process(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp/clock", server, listener)
    try:
        yield made
    finally:
        await made.stop()
        await gateway.stop()


class Half:
    """A server that says the first half of its answer, and the second when it may."""

    def __init__(self, first: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.first, self.headers = first, headers
        self.asked, self.may_end = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.first:
            await self._begin(send)
        self.asked.set()
        leaving = asyncio.create_task(self._leaves(receive))
        ending = asyncio.create_task(self.may_end.wait())
        await asyncio.wait({leaving, ending}, return_when=asyncio.FIRST_COMPLETED)
        for task in (leaving, ending):
            task.cancel()
        if not self.first:
            await self._begin(send)
        await send({"type": "http.response.body", "body": b"1}"})

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.first or b'{"half":', "more_body": True})

    async def _leaves(self, receive: Receive) -> Message:
        while (message := await receive())["type"] != "http.disconnect":
            pass
        return message


@pytest.fixture
async def key(owner: User, upstream: Upstream) -> str:
    return await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def test_a_call_under_way_has_its_time(
    options: Options, upstream: Upstream, key: str, client: aiohttp.ClientSession
) -> None:
    upstream.behave = half = Half(b"", JSON)
    async with process(options, FOR_EVER) as running:
        calling = asyncio.create_task(client.post(running.url, json=call(), headers=bearer(key)).__aenter__())
        await half.asked.wait()
        stopping = running.stop()
        await until(lambda: refused(client, running.url))
        assert not stopping.done()
        half.may_end.set()
        async with await calling as response:
            assert await response.read() == b'{"half":1}'
        await stopping


async def refused(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(url):
            return False
    except aiohttp.ClientConnectionError:
        return True


async def test_a_call_that_takes_longer_is_told(
    options: Options, upstream: Upstream, key: str, client: aiohttp.ClientSession
) -> None:
    upstream.behave = half = Half(b"", JSON)
    async with process(options, 0) as running:
        calling = asyncio.create_task(client.post(running.url, json=call(), headers=bearer(key)).__aenter__())
        await half.asked.wait()
        running.stop()
        async with await calling as response:
            assert (response.status, response.headers["retry-after"]) == (503, "1")
            said = await response.json()
    assert (said["id"], said["error"]["code"]) == (1, -32603)
    assert "being stopped" in said["error"]["message"]


async def test_half_an_answer_is_not_made_a_whole_one(
    options: Options, upstream: Upstream, key: str, client: aiohttp.ClientSession
) -> None:
    upstream.behave = Half(b'{"half":', JSON)
    async with (
        process(options, 0) as running,
        client.post(running.url, json=call(), headers=bearer(key)) as response,
    ):
        assert await response.content.readexactly(8) == b'{"half":'
        running.stop()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


@pytest.mark.parametrize(
    ("headers", "told"), [(MODERN, True), ({}, True), ({"mcp-session-id": "taken up again"}, False)]
)
async def test_events_end_with_the_reason_unless_they_can_be_taken_up(
    options: Options,
    upstream: Upstream,
    key: str,
    client: aiohttp.ClientSession,
    headers: dict[str, str],
    told: bool,
) -> None:
    async with process(options, 0) as running:
        if "mcp-session-id" in headers:
            headers = {"mcp-session-id": await opened(upstream, running, key, client)}
        upstream.behave = Half(b"data: {}\n\n", EVENTS)
        async with client.post(running.url, json=call(), headers=bearer(key, **headers)) as response:
            assert await response.content.readuntil(b"\n\n") == b"data: {}\n\n"
            running.stop()
            assert (b"being stopped" in await response.read()) == told


async def opened(upstream: Upstream, running: Process, key: str, client: aiohttp.ClientSession) -> str:
    async def opens(scope: Scope, receive: Receive, send: Send) -> None:
        about = [*JSON, (b"mcp-session-id", b"one")]
        await send({"type": "http.response.start", "status": 200, "headers": about})
        await send({"type": "http.response.body", "body": b"{}"})

    upstream.behave = opens
    async with client.post(running.url, json=call("initialize"), headers=bearer(key)) as response:
        return response.headers["mcp-session-id"]


@pytest.mark.parametrize("by_get", [True, False])
async def test_streams_without_an_end_hold_nothing_up(
    options: Options, upstream: Upstream, key: str, client: aiohttp.ClientSession, by_get: bool
) -> None:
    upstream.behave = Half(b"data: {}\n\n", EVENTS)
    async with process(options, FOR_EVER) as running:
        if by_get:
            opening = client.get(running.url, headers=bearer(key))
        else:
            listen = call("subscriptions/listen")
            opening = client.post(running.url, json=listen, headers=bearer(key, **LISTEN))
        async with opening as response:
            assert await response.content.readuntil(b"\n\n") == b"data: {}\n\n"
            await running.stop()
            assert b"data" not in await response.read()


def test_beside_workers_the_platform_stops_soon(settings: Settings) -> None:
    settings.GATEWAY_SHUTDOWN_SECONDS = 45
    assert grace_of(frozenset({"gateway"})) == grace_of(frozenset({"gateway", "web"})) == 45
    assert grace_of(frozenset(PARTS)) == grace_of(frozenset({"web"})) == 3
    settings.GATEWAY_SHUTDOWN_SECONDS = 1
    assert grace_of(frozenset(PARTS)) == 1
