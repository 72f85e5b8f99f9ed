"""A request that two readers understand differently: one lets it pass, the other does what it says."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User

from bridge.app import HEALTH_PATH
from gateway.errors import Refusal
from gateway.policy import ToolLists, combined
from mcphost.asgi import make_application
from servers.models import tool_patterns
from servers.operations.corked import CorkedProtocol
from tests.bridge.conftest import legacy_bridge, program
from tests.bridge.harness import Bridge
from tests.gateway.conftest import serving

from .gateways import Running, answer, bearer, call, gateway, hosted, options, owner, saying, transactional_db

__all__ = ["gateway", "legacy_bridge", "options", "owner", "program", "transactional_db"]

LENGTH = b"Content-Length: 2\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HEALTH = HEALTH_PATH.encode()
ALIKE = {
    "a bare LF in a header": (b"X: a\nY: b\r\n" + LENGTH, b"{}"),
    "a bare LF that ends the head": (b"X: a\n\nGET / HTTP/1.1\r\n" + LENGTH, b"{}"),
    "a bare CR in a header": (b"X: a\rY: b\r\n" + LENGTH, b"{}"),
    "NUL in a header": (b"X: a\0b\r\n" + LENGTH, b"{}"),
    "an escape in a header": (b"X: \x1b[2J\r\n" + LENGTH, b"{}"),
    "a folded header": (b"X: a\r\n b\r\n" + LENGTH, b"{}"),
    "a folded length": (b"Content-Length:\r\n 2\r\n", b"{}"),
    "a space before the colon": (b"Content-Length : 2\r\n", b"{}"),
    "a name of other signs": (b"Content(Length: 2\r\n" + LENGTH, b"{}"),
    "a header without a name": (b": x\r\n" + LENGTH, b"{}"),
    "two lengths": (LENGTH + LENGTH, b"{}"),
    "two lengths that differ": (LENGTH + b"Content-Length: 3\r\n", b"{} "),
    "a list of lengths": (b"Content-Length: 2, 2\r\n", b"{}"),
    "a length with a sign": (b"Content-Length: +2\r\n", b"{}"),
    "a length in another base": (b"Content-Length: 0x2\r\n", b"{}"),
    "a length and chunks": (LENGTH + CHUNKED, b"2\r\n{}\r\n0\r\n\r\n"),
    "chunks twice": (
        CHUNKED + CHUNKED,
        b"2\r\n{}\r\n0\r\n\r\n",
    ),
    "chunks of something": (b"Transfer-Encoding: chunked, identity\r\n", b"{}"),
    "a bare LF behind a chunk's size": (CHUNKED, b"2\n{}\r\n0\r\n\r\n"),
    "a bare LF in a chunk's extension": (CHUNKED, b"2;a\nb\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": (CHUNKED, b"1\r\n{}\r\n0\r\n\r\n"),
    "a chunk's size with a sign": (CHUNKED, b"+2\r\n{}\r\n0\r\n\r\n"),
    "a chunk's size behind a space": (CHUNKED, b" 2\r\n{}\r\n0\r\n\r\n"),
    "a bare LF in a trailer": (CHUNKED, b"2\r\n{}\r\n0\r\nX: a\nb\r\n\r\n"),
    "two hosts": (b"Host: evil.example\r\n" + LENGTH, b"{}"),
}
TARGETS = {
    "a bare LF in the address": b"?\nX:y",
    "a bare CR in the address": b"?\rX:y",
    "a tab in the address": b"?\tx",
    "NUL in the address": b"?\0",
}


async def answers(url: str, sent: bytes) -> list[int]:
    """The statuses of all that comes back until the connection ends."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(sent)
    async with asyncio.timeout(60):
        said = await reader.read()
    writer.close()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", said)]


def asked(url: str, target: bytes, head: bytes = LENGTH, body: bytes = b"{}") -> bytes:
    """A GET with a body, and another behind it: what is taken is answered with 200, twice."""
    first = b"GET %b HTTP/1.1\r\nHost: %b\r\n" % (target, urlsplit(url).netloc.encode())
    return first + head + b"\r\n" + body + first + b"Connection: close\r\n\r\n"


def is_refused(kind: str, statuses: list[int]) -> bool:
    """A body that has two readings may be met after its request was answered: nothing behind it is read."""
    late = "chunk" in kind or "trailer" in kind
    return statuses.count(200) <= late and len(statuses) < 3 and {*statuses} <= {200, 400, 501}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALIKE)
async def test_the_bridge_takes_no_request_that_has_two_readings(legacy_bridge: Bridge, kind: str) -> None:
    """Python's and Node's."""
    url = legacy_bridge.url
    assert is_refused(kind, await answers(url, asked(url, HEALTH, *ALIKE[kind])))
    assert await answers(url, asked(url, HEALTH)) == [200, 200]


@pytest.mark.slow
@pytest.mark.parametrize("kind", TARGETS)
async def test_the_bridge_takes_no_address_that_has_two_readings(legacy_bridge: Bridge, kind: str) -> None:
    url = legacy_bridge.url
    assert is_refused(kind, await answers(url, asked(url, HEALTH + TARGETS[kind])))


@pytest.mark.parametrize("kind", ALIKE)
async def test_the_front_door_takes_no_request_that_has_two_readings(kind: str) -> None:
    async with serving(make_application(frozenset({"gateway"})), CorkedProtocol) as url:
        assert is_refused(kind, await answers(url, asked(url, b"/livez", *ALIKE[kind])))
        assert await answers(url, asked(url, b"/livez")) == [200, 200]


@pytest.mark.parametrize("kind", TARGETS)
async def test_the_front_door_takes_no_address_that_has_two_readings(kind: str) -> None:
    async with serving(make_application(frozenset({"gateway"})), CorkedProtocol) as url:
        assert is_refused(kind, await answers(url, asked(url, b"/livez" + TARGETS[kind])))


@pytest.mark.parametrize("http", [CorkedProtocol, "auto"])
@pytest.mark.parametrize(
    "path", [b"/admin/login/", b"/mcp/x", b"/api/health/", b"/livez", b"/metrics", b"/hooks/x/"]
)
async def test_a_request_for_two_hosts_is_for_nobody(http: Any, path: bytes) -> None:
    """A proxy in front goes by one of them, and what it allows there the other would do."""
    async with serving(make_application(), http) as url:
        for second in (b"evil.example", urlsplit(url).netloc.encode()):
            sent = asked(url, path, b"Host: %b\r\n" % second, b"")
            assert (await answers(url, sent))[:1] == [400]
        assert await answers(url, asked(url, b"/livez")) == [200, 200]


ODD_NAMES = [
    "echo ", " echo", "\techo", "echo\n", "echo\r", "echo\x00", "ec\x00ho", "echo\u00a0", "echo\u200b",
    "ec\u200dho", "\ufeffecho", "echo\u2028", "\u202eecho", "ｅｃｈｏ", "ech\u2134", "echo\x7f", "echo\x85",
    "e\u00adcho",    "echo" + " " * 600, "x" * 600,
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize(
    "lists", [{"tools_denied": ["echo"]}, {"tools_allowed": ["*"], "tools_denied": ["echo"]}]
)
async def test_a_denied_tool_that_is_called_by_what_a_server_may_take_for_its_name(
    gateway: Running, owner: User, name: str, lists: dict[str, list[str]]
) -> None:
    async with saying(answer([b"content-type: application/json"])) as url:
        headers = await hosted(owner, url, **lists)
        send = gateway.client.post(gateway.mcp("evil"), json=call(name=name), headers=headers)
        async with send as response:
            assert (await response.json())["error"]["code"] == -32602


@pytest.mark.parametrize("name", ["add", "read_file", "get weather", "wetter/v1", "météo", "天気", "ECHO"])
def test_names_that_are_read_in_one_way_only(name: str) -> None:
    assert tool_patterns.permit(name, ["*"], ["echo"])


@pytest.mark.parametrize("name", ODD_NAMES)
def test_without_a_policy_names_are_the_servers_own_business(name: str) -> None:
    assert tool_patterns.permit(name, [], [])


@pytest.mark.parametrize(
    "message",
    [
        {"method": "tools/call ", "params": {"name": "echo"}},
        {"method": "\ttools/call", "params": {"name": "echo"}},
        {"method": "TOOLS/CALL", "params": {"name": "echo"}},
        {"method": "tools/call\u200b", "params": {"name": "echo"}},
        {"method": "ｔools/call", "params": {"name": "echo"}},
        {"method": "tools/call" + " " * 1000, "params": {"name": "echo"}},
        {"method": "tools/call", "params": {"name ": "echo", "name": "add"}},
        {"method": "tools/call", "params": {"\u200bname": "echo", "name": "add"}},
        {"method": "tools/call", "params": {"name": "add"}, " params": {"name": "echo"}},
        {"method": "tools/list", "method\n": "tools/call", "params": {"name": "echo"}},
        [{"method": "tools/call ", "params": {"name": "echo"}}],
        {"method": "tools/call", "params": {"name": ["echo"]}},
    ],
)
def test_a_denied_tool_that_is_called_by_a_method_or_a_key_that_looks_alike(message: Any) -> None:
    policy = combined(ToolLists((), ("echo",)), None)
    assert policy
    with pytest.raises(Refusal):
        policy.check(json.dumps(message).encode(), modern=False)


@pytest.mark.parametrize("method", [["tools/call"], {"a": 1}, None, 7, "tools/list", "x" * 100_000])
def test_methods_that_call_no_tool_pass(method: Any) -> None:
    policy = combined(ToolLists((), ("echo",)), None)
    assert policy
    policy.check(json.dumps({"method": method}).encode(), modern=False)


async def test_a_token_in_two_headers_is_none(gateway: Running, owner: User) -> None:
    async with saying(answer([])) as url:
        headers = [*(await hosted(owner, url)).items(), *bearer("mcph_other").items()]
        async with gateway.client.post(gateway.mcp("evil"), json=call(), headers=headers) as response:
            assert response.status == 401
