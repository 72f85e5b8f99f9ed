"""The HTTP side: what is refused and how, and what a connection survives."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from tests.bridge.conftest import Start
from tests.bridge.harness import HEADERS, LEGACY, Bridge, LegacyClient, initialize, request, text_of, tool


@pytest.mark.parametrize(
    ("method", "headers", "body", "status", "code"),
    [
        ("POST", {"Content-Type": "text/plain"}, b"{}", 415, -32600),
        ("POST", {"Accept": "text/html"}, b"{}", 406, -32600),
        ("POST", {"Accept": "application/json;q=0, text/event-stream; q=0.0"}, b"{}", 406, -32600),
        ("POST", {"Accept": "application/*;q=0, text/*;q=0, */*;q=1"}, b"{}", 406, -32600),
        ("POST", {}, b"{", 400, -32700),
        ("POST", {}, b'{"a": "\xff"}', 400, -32700),
        ("POST", {}, b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": NaN}}', 400, -32700),
        ("POST", {}, b"[" * 200_000, 400, -32700),
        ("POST", {}, b"[]", 400, -32600),
        ("POST", {}, b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', 400, -32600),
        ("POST", {}, b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', 400, -32600),
        ("POST", {}, b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', 400, -32600),
        ("POST", {}, b'{"jsonrpc": "2.0"}', 400, -32600),
        ("PUT", {}, b"{}", 405, -32600),
        ("GET", {}, b"", 400, -32600),
        ("DELETE", {}, b"", 400, -32600),
    ],
)
async def test_refusals(
    legacy_bridge: Bridge,
    http: aiohttp.ClientSession,
    method: str,
    headers: dict[str, str],
    body: bytes,
    status: int,
    code: int,
) -> None:
    headers = {**HEADERS, **headers}
    async with http.request(method, legacy_bridge.url, data=body, headers=headers) as response:
        assert response.status == status
        assert (await response.json())["error"]["code"] == code


@pytest.mark.parametrize(
    "accept",
    [
        *("*/*", "application/*, text/*", "application/json;q=0.9,text/event-stream"),
        *("application/json", "text/event-stream", "application/json, */*;q=0", "text/*;q=0, */*"),
    ],
)
async def test_accept(legacy_bridge: Bridge, http: aiohttp.ClientSession, accept: str) -> None:
    headers = {**HEADERS, "Accept": accept}
    async with http.post(legacy_bridge.url, json=request("ping"), headers=headers) as response:
        assert response.status == 400  # the session is missing: past the check


async def test_get_must_accept_events(legacy_bridge: Bridge, http: aiohttp.ClientSession) -> None:
    client = await LegacyClient(http, legacy_bridge.url).open()
    async with client.get(Accept="application/json") as response:
        assert response.status == 406
    await client.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:6274"}, 200),
        ({"Host": "localhost:80"}, 200),
        ({"Host": "[::1]:80"}, 200),
    ],
)
async def test_a_local_bridge_answers_no_page_from_elsewhere(
    legacy_bridge: Bridge, http: aiohttp.ClientSession, headers: dict[str, str], status: int
) -> None:
    async with http.get(legacy_bridge.origin + "/.bridge/healthz", headers=headers) as response:
        assert response.status == status


async def test_a_bridge_in_a_container_leaves_hosts_to_the_gateway(
    start: Start, http: aiohttp.ClientSession
) -> None:
    bridge = start("--host", "0.0.0.0", command=LEGACY)
    url = bridge.origin.replace("0.0.0.0", "127.0.0.1") + "/.bridge/healthz"
    headers = {"Host": "server.example", "Origin": "https://server.example"}
    async with http.get(url, headers=headers) as response:
        assert response.status == 200


async def test_health_starts_no_server(start: Start, http: aiohttp.ClientSession) -> None:
    bridge = start(command=LEGACY)
    async with http.get(bridge.origin + "/.bridge/healthz") as response:
        assert await response.json() == {"status": "ok", "sessions": 0, "shared": False}
    assert not bridge.servers()


async def test_paths(start: Start, http: aiohttp.ClientSession) -> None:
    bridge = start("--path", "/a/b", command=LEGACY)
    statuses = {}
    for path in ("/a/b", "/a/b/", "/a/b?x=1", "/a", "/mcp"):
        async with http.post(bridge.origin.removesuffix("/a/b") + path, json={}, headers=HEADERS) as response:
            statuses[path] = response.status
    assert statuses == {"/a/b": 400, "/a/b/": 400, "/a/b?x=1": 400, "/a": 404, "/mcp": 404}


async def test_body_limit(start: Start, http: aiohttp.ClientSession) -> None:
    bridge = start("--max-body", "1000", command=LEGACY)

    async def chunks() -> object:
        for _ in range(11):
            yield b" " * 100

    for body in (b" " * 1001, chunks()):
        async with http.post(bridge.url, data=body, headers=HEADERS) as response:
            assert response.status == 413


async def test_chunked_body(legacy_bridge: Bridge, http: aiohttp.ClientSession) -> None:
    async def chunks() -> object:
        for character in json.dumps(initialize()):
            yield character.encode()

    async with http.post(legacy_bridge.url, data=chunks(), headers=HEADERS) as response:
        assert response.status == 200


async def test_unix_socket(start: Start, tmp_path: Path) -> None:
    start("--unix", str(tmp_path / "bridge.sock"), command=LEGACY)
    connector = aiohttp.UnixConnector(str(tmp_path / "bridge.sock"))
    async with aiohttp.ClientSession(connector=connector) as http:
        client = await LegacyClient(http, "http://bridge/mcp").open()
        assert text_of((await client.call("echo", text="x"))[0]) == "x"


async def test_unix_socket_of_a_killed_bridge_is_taken_over(start: Start, tmp_path: Path) -> None:
    path = str(tmp_path / "bridge.sock")
    killed = start("--unix", path, command=LEGACY)
    killed.process.kill()
    killed.process.wait()
    start("--unix", path, command=LEGACY)
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as http:
        await LegacyClient(http, "http://bridge/mcp").open()


async def test_one_connection_serves_both_forms_in_turn(
    legacy_bridge: Bridge,
) -> None:
    connector = aiohttp.TCPConnector(limit=1, force_close=False)
    async with aiohttp.ClientSession(connector=connector) as http:
        client = await LegacyClient(http, legacy_bridge.url).open()
        for _ in range(3):
            assert len(await client.call("log")) == 2
            assert len(await client.call("echo", text="x")) == 1
        await client.close()


async def talk(bridge: Bridge, data: bytes) -> bytes:
    """Sends bytes as they are and returns all that comes back until the bridge closes."""
    host, port = bridge.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"POST /mcp HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"POST /mcp HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"POST /mcp HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
    ],
)
async def test_what_is_not_http_ends_the_connection(
    legacy_bridge: Bridge, head: bytes, status: bytes
) -> None:
    assert (await talk(legacy_bridge, head)).split(b" ")[1] == status


async def test_http_1_0(legacy_bridge: Bridge) -> None:
    answer = await talk(legacy_bridge, b"GET /.bridge/healthz HTTP/1.0\r\n\r\n")
    assert answer.split(b" ")[1] == b"200"


async def test_without_a_host_header(legacy_bridge: Bridge) -> None:
    answer = await talk(legacy_bridge, b"GET /.bridge/healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] == b"200"


async def test_pipelined_requests(legacy_bridge: Bridge) -> None:
    one = b"GET /.bridge/healthz HTTP/1.1\r\n\r\n"
    last = b"GET /.bridge/healthz HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert (await talk(legacy_bridge, one + one + last)).count(b"HTTP/1.1 200") == 3


async def test_a_client_that_expects_to_be_told_to_continue(legacy_bridge: Bridge) -> None:
    body = json.dumps(tool("echo", text="x")).encode()
    head = b"POST /mcp HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    head += b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    answer = await talk(legacy_bridge, head + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400")
