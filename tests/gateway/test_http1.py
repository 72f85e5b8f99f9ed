"""Servers that speak HTTP/1.1 in their own ways, and some that do not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.http1 import HIGH_WATER, Broken, Response
from gateway.request import Request
from gateway.upstream import NotConnected, Upstream

from .conftest import until

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
POST = Request("POST", "/mcp/clock", b"", "http", [])
OK = b"HTTP/1.1 200 OK\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[tuple[Upstream, str]]:
    """A server that reads each request's head and then does as told, and the way to it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                await reader.readuntil(b"\r\n\r\n")
                await talk(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = Upstream(connect=5)
    try:
        yield upstream, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    finally:
        upstream.close()
        server.close()


def says(*parts: bytes, close: bool = False) -> Talk:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0)
        if close:
            writer.close()

    return talk


async def body_of(response: Response) -> bytes:
    parts = []
    while not response.whole or not parts:
        parts.append(await response.read() or b"")
    return b"".join(parts)


@pytest.mark.parametrize(
    ("talk", "body"),
    [
        (says(OK + b"Content-Length: 5\r\n\r\nhello"), b"hello"),
        (says(*(bytes([byte]) for byte in OK + b"Content-Length: 5\r\n\r\nhello")), b"hello"),
        (says(OK + CHUNKED + b"3\r\nhel\r\n", b"2\r\nlo\r\n0\r\nx: y\r\n\r\n"), b"hello"),
        (says(OK + b"\r\nhel", b"lo", close=True), b"hello"),
        (says(b"HTTP/1.0 200 OK\r\n\r\nhello", close=True), b"hello"),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n", EARLY + OK, b"content-length: 0\r\n\r\n"), b""),
        (says(b"HTTP/1.1 204 No Content\r\n\r\n"), b""),
        (says(b"HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx", close=True), b"x"),
    ],
)
async def test_a_body_ends_as_its_server_says(talk: Talk, body: bytes) -> None:
    async with talking(talk) as (upstream, url):
        for _ in range(2):
            response = await upstream.open(url, POST, [], b"{}")
            assert await body_of(response) == body
            assert b"link" not in dict(response.headers)


@pytest.mark.parametrize(
    "talk",
    [
        says(b"", close=True),
        says(b"HTTP/1.1 200", close=True),
        says(b"220 mail.example ESMTP\r\n"),
        says(b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n"),
        says(b"HTTP/1.1 600 OK\r\ncontent-length: 0\r\n\r\n"),
        says(OK + b"x: " + b"y" * 100_000 + b"\r\n\r\n"),
        says(OK + b"x: ", b"y" * 1_000_000),
        says(OK + b"y" * 1_000_000),
        says(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    ],
)
async def test_what_is_no_answer_is_broken(talk: Talk) -> None:
    async with talking(talk) as (upstream, url):
        with pytest.raises(Broken):
            await upstream.open(url, POST, [], b"{}")


@pytest.mark.parametrize(
    "begun", [b"content-length: 9\r\n\r\nhal", b"transfer-encoding: chunked\r\n\r\n5\r\nhal"]
)
async def test_half_a_body_is_broken(begun: bytes) -> None:
    async with talking(says(OK + begun, close=True)) as (upstream, url):
        response = await upstream.open(url, POST, [], b"{}")
        assert await response.read() == b"hal"
        with pytest.raises(Broken):
            await response.read()


async def test_a_connection_is_kept_and_one_that_has_ended_is_not_used() -> None:
    peers = []

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer)
        writer.write(OK + b"content-length: 2\r\n\r\nok")

    async with talking(talk) as (upstream, url):
        for _ in range(3):
            assert await body_of(await upstream.open(url, POST, [], b"{}")) == b"ok"
        assert len(set(peers)) == 1
        peers[0].close()
        await until(lambda: not any(each.usable for kept in upstream._free.values() for each in kept))
        assert await body_of(await upstream.open(url, POST, [], b"{}")) == b"ok"
        assert len(set(peers)) == 2


async def test_what_a_server_says_unasked_is_no_answer_to_the_next_request() -> None:
    async with talking(says(OK + b"content-length: 2\r\n\r\nok" + OK + b"content-length: 4\r\n\r\nevil")) as (
        upstream,
        url,
    ):
        for _ in range(2):
            assert await body_of(await upstream.open(url, POST, [], b"{}")) == b"ok"


@pytest.mark.parametrize(
    "more", [OK + b"content-length: 4\r\n\r\nev", OK + b"x: y", b"HTTP/1.1 2", b"HTTP/1.1 100 Continue\r\n"]
)
async def test_a_server_that_has_begun_to_say_more_is_connected_to_anew(more: bytes) -> None:
    async with talking(says(OK + b"content-length: 2\r\n\r\nok" + more)) as (upstream, url):
        for _ in range(2):
            response = await upstream.open(url, POST, [], b"{}")
            assert await body_of(response) == b"ok"
            assert b"x" not in dict(response.headers)


async def test_trailers_are_no_headers_and_end() -> None:
    trailer = b"2\r\nok\r\n0\r\nmcp-session-id: forged\r\n\r\n"
    async with talking(says(OK + CHUNKED + trailer)) as (upstream, url):
        response = await upstream.open(url, POST, [], b"{}")
        assert await body_of(response) == b"ok"
        assert response.headers == [(b"transfer-encoding", b"chunked")]
    async with talking(says(OK + CHUNKED + b"2\r\nok\r\n0\r\nx: ", b"y" * 1_000_000)) as (upstream, url):
        with pytest.raises(Broken):
            await body_of(await upstream.open(url, POST, [], b"{}"))


async def test_a_request_that_fails_while_its_answer_comes_has_no_whole_answer() -> None:
    answering = asyncio.Event()

    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        await answering.wait()
        raise ValueError("the caller's doing")

    async with talking(says(OK + b"\r\nhal")) as (upstream, url):
        response = await upstream.open(url, POST, [], failing())
        assert await response.read() == b"hal"
        answering.set()
        with pytest.raises(ValueError, match="the caller's doing"):
            await response.read()


async def test_an_answer_before_the_end_of_the_request_ends_its_sending() -> None:
    left = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.01)
        finally:
            left.set()

    async with talking(says(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")) as (upstream, url):
        response = await upstream.open(url, POST, [], endless())
        assert (response.status, await body_of(response)) == (413, b"no")
        async with asyncio.timeout(60):
            await left.wait()
        assert not upstream._free


async def test_a_request_that_fails_on_its_way_says_why() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise ValueError("the caller's doing")

    async def wait(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with talking(wait) as (upstream, url):
        with pytest.raises(ValueError, match="the caller's doing"):
            await upstream.open(url, POST, [], failing())


async def test_a_server_is_slowed_down_and_heard_again() -> None:
    size = 40 * HIGH_WATER

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"content-length: %d\r\n\r\n" % size)
        writer.write(b"x" * size)

    async with talking(talk) as (upstream, url):
        response = await upstream.open(url, POST, [], b"{}")
        await until(lambda: response._waiting > HIGH_WATER)
        assert len(await body_of(response)) == size
        assert await body_of(await upstream.open(url, POST, [], b"{}")) == b"x" * size


async def test_silence_is_told_and_harms_nothing() -> None:
    go = asyncio.Event()

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"content-length: 2\r\n\r\n")
        await go.wait()
        writer.write(b"ok")

    async with talking(talk) as (upstream, url):
        response = await upstream.open(url, POST, [], b"{}")
        assert await response.read(0.05) is None
        go.set()
        assert await body_of(response) == b"ok"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1/mcp", "nonsense"])
async def test_where_nothing_listens_nothing_was_sent(endpoint: str) -> None:
    with pytest.raises(NotConnected):
        await Upstream(connect=1).open(endpoint, POST, [], b"{}")
