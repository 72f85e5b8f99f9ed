"""What crosses the gateway, in which pieces, and what happens when one side goes away."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import aiohttp
import pytest
from django.contrib.auth.models import User

from gateway.options import Options
from gateway.types import Receive, Scope, Send
from servers.models import Deployment

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


class Script:
    """An upstream that begins an event stream and sends what the test gives it, until the caller leaves."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.open += 1
        leaving = asyncio.create_task(self._leaves(receive))
        await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        while (piece := await self._next(leaving)) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        leaving.cancel()
        await send({"type": "http.response.body", "body": b""})
        self.open -= 1

    async def _leaves(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _next(self, leaving: asyncio.Task[None]) -> bytes | None:
        getting = asyncio.create_task(self.pieces.get())
        await asyncio.wait({getting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
        getting.cancel()
        return None


@pytest.fixture
def script(upstream: Upstream) -> Script:
    upstream.behave = Script()
    return upstream.behave


@pytest.fixture
async def key(owner: User, upstream: Upstream) -> str:
    return await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))


async def test_headers_of_the_protocol_cross_and_the_callers_secrets_do_not(
    gateway: Running, upstream: Upstream, key: str
) -> None:
    sent = {
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-param-region": "eu",
        "accept": "application/json, text/event-stream",
        "last-event-id": "7",
        "cookie": "mcphost_session=secret",
        "origin": gateway.url,
        "x-forwarded-for": "10.0.0.1",
        "forwarded": "for=10.0.0.1",
        "connection": "x-private",
        "x-private": "1",
    }
    url = gateway.mcp("clock") + "?mode=a%20b"
    async with gateway.client.post(url, json=call(), headers=bearer(key, **sent)) as response:
        assert response.status == 200
    seen = upstream.seen[0]
    for name in ("mcp-protocol-version", "mcp-method", "mcp-param-region", "accept", "last-event-id"):
        assert seen.header(name) == sent[name]
    for name in ("authorization", "cookie", "origin", "x-forwarded-for", "forwarded", "x-private"):
        assert seen.header(name) is None
    assert seen.header("host") == upstream.url.split("/")[2]
    assert seen.query == "mode=a%20b"


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"host": ""}, "127.0.0.1:PORT"),
        ({"host": "mcp.example.com"}, "mcp.example.com"),
        ({}, "127.1:PORT"),  # of a deployment from before this was asked: as it was
    ],
)
async def test_a_server_is_named_the_host_that_its_handshake_found(
    gateway: Running, upstream: Upstream, owner: User, facts: dict[str, str], named: str
) -> None:
    def hosted() -> str:
        server = host(owner, "clock", upstream.url.replace("127.0.0.1", "127.1"))
        Deployment.objects.filter(server=server).update(facts=facts)
        return token(owner, server)

    headers = bearer(await in_database(hosted))
    async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=headers) as response:
        assert response.status == 200
    port = upstream.url.split(":")[2].partition("/")[0]
    assert upstream.seen[0].header("host") == named.replace("PORT", port)


async def test_a_hosted_server_cannot_speak_for_the_platforms_origin(
    gateway: Running, upstream: Upstream, key: str
) -> None:
    async def behave(scope: Scope, receive: Receive, send: Send) -> None:
        ours = [
            (b"set-cookie", b"a=b"),
            (b"www-authenticate", b"Bearer"),
            (b"access-control-allow-origin", b"*"),
        ]
        passed = [(b"x-custom", b"dropped"), (b"retry-after", b"3")]
        await send({"type": "http.response.start", "status": 200, "headers": [*JSON, *ours, *passed]})
        await send({"type": "http.response.body", "body": b"{}"})

    upstream.behave = behave
    async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(key)) as response:
        assert not {"set-cookie", "www-authenticate", "access-control-allow-origin"} & {
            name.lower() for name in response.headers
        }
        assert "x-custom" not in response.headers
        assert response.headers["retry-after"] == "3"


async def test_announced_lengths_that_may_not_hold_do_not_cross(gateway: Running, owner: User) -> None:
    """Of events, since comments and errors may come between them, and of answers that have no body."""
    go = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            writer.write(b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\nconnection: close\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\n")
            await go.wait()
            writer.write(b"data: 1\n\n")
        writer.close()

    server = await asyncio.start_server(behave, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    headers = bearer(await in_database(lambda: token(owner, host(owner, "clock", url))))
    async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=headers) as response:
        assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"
        go.set()
        assert (await response.read()).endswith(b"data: 1\n\n")
    async with gateway.client.get(gateway.mcp("clock"), headers=headers) as response:
        assert response.status == 204
        assert "content-length" not in response.headers
    server.close()


async def test_events_arrive_as_they_are_sent(gateway: Running, script: Script, key: str) -> None:
    async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(key)) as response:
        assert response.content_type == "text/event-stream"
        for number in range(3):
            event = b"data: %d\n\n" % number
            script.pieces.put_nowait(event)
            while (got := await response.content.readuntil(b"\n\n")).startswith(b":"):
                pass
            assert got == event
        script.pieces.put_nowait(None)
        await response.read()


async def test_keep_alive_comments_never_cut_an_event(gateway: Running, script: Script, key: str) -> None:
    async with gateway.client.get(gateway.mcp("clock"), headers=bearer(key)) as response:
        assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"
        script.pieces.put_nowait(b"data: first")
        got = await response.content.readuntil(b"first")
        assert got.replace(b": keep-alive\n\n", b"") == b"data: first"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await response.content.readany()
        script.pieces.put_nowait(b" half\n\n")
        assert await response.content.readuntil(b"\n\n") == b" half\n\n"
        assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"


@pytest.mark.parametrize("begun", [True, False])
async def test_a_call_that_its_deployment_does_not_outlive_is_told_why(
    gateway: Running, owner: User, upstream: Upstream, begun: bool
) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if begun:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
            writer.write(b"transfer-encoding: chunked\r\n\r\n6\r\ndata: \r\n")
        writers.append(writer)

    old = await asyncio.start_server(begin, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{old.sockets[0].getsockname()[1]}/mcp"
    server = await in_database(lambda: host(owner, "clock", url))
    headers = bearer(await in_database(lambda: token(owner, server)))

    async def text() -> str:
        async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=headers) as response:
            return await response.text()

    calling = asyncio.create_task(text())
    await until(lambda: len(writers) == 1)
    await in_database(lambda: deploy(server, upstream.url))

    others = []
    while not upstream.seen:
        others.append(asyncio.create_task(text()))
        await asyncio.sleep(0.05)
    for writer in writers:
        writer.close()
    said = await calling
    await asyncio.gather(*others)
    old.close()
    if begun:
        assert said.startswith("data: \n\ndata: {")
    error = json.loads(said.rpartition("data: ")[2])["error"]
    assert "Clock was deployed anew while it answered" in error["message"]
    assert error["data"]["status"] == 502


async def test_a_caller_that_leaves_is_seen_upstream(gateway: Running, script: Script, key: str) -> None:
    response = await gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(key))
    assert script.open == 1
    response.close()
    await until(lambda: script.open == 0)
    assert [made["outcome"] for made in await gateway.calls()] == ["cancelled"]


async def test_a_caller_that_leaves_upon_a_question_has_no_answer(
    gateway: Running, script: Script, key: str
) -> None:
    response = await gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(key))
    script.pieces.put_nowait(b'data: {"jsonrpc":"2.0","id":7,"method":"elicitation/create"}\n\n')
    await response.content.readuntil(b"\n\n")
    response.close()
    await until(lambda: script.open == 0)
    assert [made["outcome"] for made in await gateway.calls()] == ["cancelled"]


async def test_a_caller_that_leaves_before_the_answer_is_seen_upstream(
    gateway: Running, upstream: Upstream, key: str
) -> None:
    left = asyncio.Event()

    async def behave(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        left.set()

    upstream.behave = behave
    calling = asyncio.create_task(gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(key)))
    await until(lambda: len(upstream.seen) == 1)
    calling.cancel()
    async with asyncio.timeout(60):
        await left.wait()


async def test_a_slow_reader_slows_the_server_down(gateway: Running, upstream: Upstream, key: str) -> None:
    sent = 0

    async def behave(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(400):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent += 100_000
        await send({"type": "http.response.body", "body": b""})

    upstream.behave = behave
    response = await gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(key))
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 40_000_000
    assert len(await response.read()) == 40_000_000


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_refused(
    gateway: Running, upstream: Upstream, key: str, announced: bool
) -> None:
    async def parts() -> object:
        for _ in range(6):
            yield b"x" * 50_000

    data = b"x" * 300_000 if announced else parts()
    async with gateway.client.post(gateway.mcp("clock"), data=data, headers=bearer(key)) as response:
        assert response.status == 413
        assert "262144 bytes" in (await response.json())["error"]["message"]


async def test_a_large_body_crosses_whole(gateway: Running, upstream: Upstream, key: str) -> None:
    body = b"{" + b" " * 200_000 + b"}"
    async with gateway.client.post(gateway.mcp("clock"), data=body, headers=bearer(key)) as response:
        assert response.status == 200
    assert upstream.seen[0].body == body
    assert upstream.seen[0].header("content-length") == str(len(body))


async def test_a_server_that_breaks_off_is_a_bad_gateway(gateway: Running, owner: User) -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    broken = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = broken.sockets[0].getsockname()[1]
    value = await in_database(lambda: token(owner, host(owner, "clock", f"http://127.0.0.1:{port}/mcp")))
    async with (
        broken,
        gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(value)) as response,
    ):
        assert response.status == 502
        assert "Clock broke the connection" in (await response.json())["error"]["message"]


async def test_half_an_answer_is_not_taken_for_a_whole_one(gateway: Running, owner: User) -> None:
    async def half(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()

    broken = await asyncio.start_server(half, "127.0.0.1", 0)
    port = broken.sockets[0].getsockname()[1]
    value = await in_database(lambda: token(owner, host(owner, "clock", f"http://127.0.0.1:{port}/mcp")))
    async with (
        broken,
        gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(value)) as response,
    ):
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_redirect_of_the_server_is_not_shown_but_explained(
    gateway: Running, upstream: Upstream, key: str
) -> None:
    async def behave(scope: Scope, receive: Receive, send: Send) -> None:
        moved = [(b"location", b"/mcp/")]
        await send({"type": "http.response.start", "status": 307, "headers": moved})
        await send({"type": "http.response.body", "body": b""})

    upstream.behave = behave
    async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(key)) as response:
        assert response.status == 502
        assert "redirects MCP calls to /mcp/" in (await response.json())["error"]["message"]


async def test_a_server_that_does_not_begin_to_answer_is_a_timeout(
    upstream: Upstream, owner: User, transactional_db: None
) -> None:
    async def behave(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    upstream.behave = behave
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    async with running_gateway(Options(call_timeout=3)) as gateway:
        async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(value)) as response:
            assert response.status == 504
        assert [made["outcome"] for made in await gateway.calls()] == ["timeout"]


class Silent:
    """An upstream that opens a session and then answers nothing but notifications."""

    def __init__(self) -> None:
        self.left = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if headers[b"x-kind"] != b"silent" or headers[b"content-length"] != headers[b"x-length"]:
            head = [*JSON, (b"mcp-session-id", b"inner")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": b'{"jsonrpc":"2.0","id":1,"result":{}}'})
        else:
            await receive()
            self.left += 1


async def in_a_session(gateway: Running, key: str, message: dict[str, Any], **headers: str) -> int:
    """Opens a session and makes a call that is not answered; its status."""
    opening = bearer(key, **{"x-kind": "opening"})
    async with gateway.client.post(
        gateway.mcp("clock"), json=call("initialize"), headers=opening
    ) as response:
        session = response.headers["mcp-session-id"]
    data = json.dumps(message).encode()
    about = {"mcp-session-id": session, "x-kind": "silent", "x-length": str(len(data)), **headers}
    async with gateway.client.post(gateway.mcp("clock"), data=data, headers=bearer(key, **about)) as response:
        return response.status


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_a_call_that_is_given_up_is_cancelled_as_its_era_does(
    upstream: Upstream, key: str, version: str
) -> None:
    """With a notification, or by closing the connection alone."""
    upstream.behave = silent = Silent()
    async with running_gateway(Options(call_timeout=3)) as gateway:
        message = {**call(), "id": "seven"}
        assert await in_a_session(gateway, key, message, **{"mcp-protocol-version": version}) == 504
        await until(lambda: silent.left == 1)
        if version == "2026-07-28":
            assert len(upstream.seen) == 2
            return
        await until(lambda: len(upstream.seen) == 3)
    told = json.loads(upstream.seen[2].body)
    assert (told["method"], told["params"]["requestId"]) == ("notifications/cancelled", "seven")
    assert upstream.seen[2].header("mcp-session-id") == "inner"


async def test_a_caller_that_leaves_a_session_cancels_nothing(
    gateway: Running, upstream: Upstream, key: str
) -> None:
    """The connection is closed, which in the legacy era is no cancelling."""
    upstream.behave = silent = Silent()
    calling = asyncio.create_task(in_a_session(gateway, key, call()))
    await until(lambda: len(upstream.seen) == 2)
    calling.cancel()
    await until(lambda: silent.left == 1)
    assert [row["outcome"] for row in await gateway.calls()] == ["ok", "cancelled"]
    assert len(upstream.seen) == 2


async def test_a_call_finds_a_server_that_has_just_moved(
    upstream: Upstream, owner: User, transactional_db: None
) -> None:
    """The route is cached and its port closed: nothing was sent yet, so the call goes to the new one."""
    gone = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    old = f"http://127.0.0.1:{gone.sockets[0].getsockname()[1]}/mcp"
    server = await in_database(lambda: host(owner, "clock", old))
    value = await in_database(lambda: token(owner, server))
    async with running_gateway(Options(fresh=60)) as gateway:
        async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(value)) as response:
            assert response.status == 502
        gone.close()
        await gone.wait_closed()
        await in_database(lambda: deploy(server, upstream.url))
        async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(value)) as response:
            assert response.status == 200


async def test_idle_streams_hold_no_thread_and_no_connection(
    gateway: Running, script: Script, key: str
) -> None:
    async def stream() -> aiohttp.ClientResponse:
        return await gateway.client.get(gateway.mcp("clock"), headers=bearer(key))

    first = await stream()
    threads = threading.active_count()
    responses = await asyncio.gather(*(stream() for _ in range(300)))
    assert all(response.status == 200 for response in [first, *responses])
    assert script.open == 301
    # A database connection belongs to a thread: the gateway's two at most, and the writer's.
    assert threading.active_count() <= threads + 1
    for response in [first, *responses]:
        response.close()
    await until(lambda: script.open == 0)
