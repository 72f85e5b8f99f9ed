"""The front door: which part serves what, and that Django's threads leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from pytest_django.fixtures import Settings

from mcphost.asgi import ALL, GATEWAY, WEB, behind_proxy, make_application
from servers.operations.corked import CorkedProtocol

from .conftest import Upstream, echo, serving

lengths: list[int] = []


@csrf_exempt
def about(request: HttpRequest) -> HttpResponse:
    users = User.objects.count()
    lengths.append(len(request.body))
    return HttpResponse(f"{request.scheme} {request.META['REMOTE_ADDR']} {users} {lengths[-1]}")


urlpatterns = [path("about", about), path("mcp-is-not-the-gateway", about)]


@pytest.fixture
def doors(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__


@contextlib.asynccontextmanager
async def client(parts: frozenset[str] = ALL) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(make_application(parts)) as url, aiohttp.ClientSession(url) as session:
        yield session


async def get(session: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, str]:
    async with session.get(url, headers=headers) as response:
        return response.status, await response.text()


@pytest.mark.usefixtures("doors")
async def test_each_path_goes_to_its_part(transactional_db: None) -> None:
    async with client() as session:
        assert (await get(session, "/about"))[1] == "http 127.0.0.1 0 0"
        assert (await get(session, "/mcp-is-not-the-gateway"))[0] == 200
        assert (await get(session, "/mcp/clock"))[0] == 401
        assert (await get(session, "/.well-known/oauth-protected-resource/mcp/clock"))[0] == 200


@pytest.mark.usefixtures("doors")
async def test_a_process_serves_only_its_parts(transactional_db: None) -> None:
    async with client(frozenset({GATEWAY})) as session:
        assert [(await get(session, url))[0] for url in ("/mcp/clock", "/about")] == [401, 404]
    async with client(frozenset({WEB})) as session:
        assert [(await get(session, url))[0] for url in ("/mcp/clock", "/about")] == [404, 200]


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="No such part: worker"):
        make_application(frozenset({"worker"}))


@pytest.mark.usefixtures("doors")
async def test_forwarded_headers_count_behind_a_proxy_only(
    transactional_db: None, settings: Settings
) -> None:
    forwarded = {"x-forwarded-for": "6.6.6.6, 10.1.2.3", "x-forwarded-proto": "https"}
    async with client() as session:
        assert (await get(session, "/about", **forwarded))[1] == "http 127.0.0.1 0 0"
        settings.BEHIND_PROXY = True
        assert (await get(session, "/about", **forwarded))[1] == "https 10.1.2.3 0 0"


@pytest.mark.parametrize("said", [None, "unknown", "", "10.1.2.3:5678", "fe80::1%eth0", "6.6.6.6,"])
def test_what_no_proxy_says_is_not_changed(said: str | None) -> None:
    headers = [] if said is None else [(b"x-forwarded-for", said.encode())]
    scope: dict[str, Any] = {"client": ("1.2.3.4", 5), "scheme": "http", "headers": headers}
    assert behind_proxy(scope) == scope


@pytest.mark.usefixtures("doors")
async def test_djangos_threads_keep_no_connection_beyond_its_age(transactional_db: None) -> None:
    application: Any = make_application()
    async with serving(application) as url, aiohttp.ClientSession(url) as session:
        await asyncio.gather(*(get(session, "/about") for _ in range(100)))
        pool: ThreadPoolExecutor = application._web.threads.executor
        threads = len(pool._threads)
        assert 1 < threads <= 16
        held = [pool.submit(lambda: connections["default"].connection) for _ in range(threads * 4)]
        kept = {future.result() for future in held} - {None}
        assert len(kept) <= (threads if connections["default"].settings_dict["CONN_MAX_AGE"] else 0)
    assert pool._shutdown
    assert all(map(is_closed, kept))


def is_closed(connection: Any) -> bool:
    """Of SQLite's and of PostgreSQL's connections."""
    try:
        connection.execute("SELECT 1")
    except (sqlite3.ProgrammingError, psycopg.OperationalError):
        return True
    return False


@pytest.mark.usefixtures("doors")
async def test_half_a_body_is_no_body(transactional_db: None) -> None:
    lengths.clear()
    async with serving(make_application()) as url, aiohttp.ClientSession(url) as session:
        port = int(url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /about HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await get(session, "/about")
    assert lengths == [0]


@pytest.mark.parametrize(
    "endless",
    [
        b"",
        b"GET /mcp/clock HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
    ],
)
async def test_a_head_without_an_end_is_cut_off(endless: bytes) -> None:
    async with serving(echo, CorkedProtocol) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(
            endless + b"GET / HTTP/1.1\r\nx: " if not endless.startswith(b"POST") else endless + b"x: "
        )
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(60):
                while not reader.at_eof():
                    writer.write(b"y" * 10_000)
                    await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.01):
                            await reader.read(1000)
        writer.close()


async def test_a_long_head_and_a_long_body_are_not_cut_off() -> None:
    async with serving(echo, CorkedProtocol) as url, aiohttp.ClientSession(url) as session:
        for _ in range(2):
            async with session.post("/", data=b"x" * 1_000_000, headers={"x": "y" * 30_000}) as response:
                assert response.status == 200


async def test_an_offer_of_http2_is_ignored_and_its_request_answered() -> None:
    """As Java's client makes it. A body that looks like one stays as it is."""
    body = b"a\r\nUpgrade: h2c\r\nb"
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    post = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n%b\r\n%b"
    seen = Upstream()
    async with serving(seen, CorkedProtocol) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        for number, upgrade in enumerate((offer, b"", offer), 1):
            writer.write(post % (len(body), upgrade, body))
            async with asyncio.timeout(60):
                assert (await reader.readuntil(b"\r\n0\r\n\r\n")).startswith(b"HTTP/1.1 200")
            assert [each.body for each in seen.seen] == [body] * number
        writer.close()
