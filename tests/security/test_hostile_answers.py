"""A hosted server that answers with what is no HTTP, or never ends: its caller gets an error."""

from __future__ import annotations

import aiohttp
import pytest
from django.contrib.auth.models import User

from gateway.http1 import Broken
from gateway.policy import ToolLists, combined
from gateway.tool_lists import LARGEST, ListFilter

from .gateways import Running, answer, call, gateway, head, hosted, options, owner, saying, transactional_db

__all__ = ["gateway", "options", "owner", "transactional_db"]

JSON = b"content-type: application/json"
EVENTS = b"content-type: text/event-stream"
CHUNKED = b"transfer-encoding: chunked"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer([JSON, b"x: " + b"y" * (1 << 20)]), id="a header of 1 MiB"),
        pytest.param(answer([b"x: " + b"y" * 1000] * 1000), id="a thousand headers"),
        pytest.param(answer([b"x" * (1 << 20) + b": y"]), id="a name of 1 MiB"),
        pytest.param(answer([b"mcp-session-id: a\r\n set-cookie: b"]), id="a folded header"),
        pytest.param(answer([b"mcp-session-id: a\nset-cookie: b"]), id="a bare LF"),
        pytest.param(answer([b"mcp-session-id: a\rset-cookie: b"]), id="a bare CR"),
        pytest.param(answer([b"mcp-session-id: a\0b"]), id="NUL"),
        pytest.param(answer([b"mcp-session-id: \x1b[2J"]), id="an escape sequence"),
        pytest.param(answer([b"content-length: 2"]), id="two lengths"),
        pytest.param(answer([b"content-length: 7"]), id="two lengths that differ"),
        pytest.param(answer([CHUNKED]), id="a length and chunks"),
        pytest.param(head(b"content-length: -1"), id="a length below nothing"),
        pytest.param(head(b"content-length: 99999999999999999999999"), id="a length beyond numbers"),
        pytest.param(head(b"content-length: 0x2") + b"{}", id="a length in another base"),
        pytest.param(head(status=b"999 Odd"), id="a status that is none"),
        pytest.param(head(status=b"-200 OK"), id="a status below nothing"),
        pytest.param(head(b"upgrade: h2c", b"connection: upgrade", status=b"101 Switch"), id="upgrade"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(b"\x16\x03\x01\x00\xff" * 100, id="TLS"),
        pytest.param(b"200 OK\r\n\r\n{}", id="no HTTP"),
        pytest.param(b"", id="nothing"),
        pytest.param(head(status=b"103 Early Hints") * 3, id="hints alone"),
    ],
)
async def test_an_answer_that_two_readers_would_read_differently(
    gateway: Running, owner: User, said: bytes
) -> None:
    async with saying(said) as url, saying(answer([JSON])) as good:
        evil, well = await hosted(owner, url), await hosted(owner, good, "good")
        async with gateway.client.post(gateway.mcp("evil"), json=call(), headers=evil) as response:
            assert response.status == 502
            assert not {"set-cookie", "mcp-session-id"} & {name.lower() for name in response.headers}
        async with gateway.client.post(gateway.mcp("good"), json=call(), headers=well) as response:
            assert (response.status, await response.read()) == (200, b"{}")


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(head(status=b"100 Continue"), id="100"),
        pytest.param(head(b"link: </x>; rel=preload", status=b"103 Early Hints"), id="103"),
        pytest.param(b"x: y\r\n", id="headers"),
        pytest.param(b"y" * 1000, id="a word"),
    ],
)
async def test_a_server_that_announces_an_answer_for_ever(
    gateway: Running, owner: User, again: bytes
) -> None:
    """Its caller does not wait for the end of the call's time."""
    begin = b"" if again.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n"
    async with saying(begin, for_ever=again) as url:
        headers = await hosted(owner, url)
        async with gateway.client.post(gateway.mcp("evil"), json=call(), headers=headers) as response:
            assert response.status == 502


async def test_a_server_that_says_more_than_it_was_asked(gateway: Running, owner: User) -> None:
    """What stands behind an answer is nobody's: the next caller does not get it."""
    forged = answer([JSON, b"mcp-session-id: forged"], b'{"forged":1}')
    async with saying(answer([JSON], b'{"id":1}') + forged, once=False) as url:
        headers = await hosted(owner, url)
        for _ in range(3):
            async with gateway.client.post(gateway.mcp("evil"), json=call(), headers=headers) as response:
                assert (response.status, await response.read()) == (200, b'{"id":1}')


@pytest.mark.parametrize("lines", [[b"content-length: 100"], [CHUNKED]])
async def test_a_server_that_ends_before_it_said_it_would(
    gateway: Running, owner: User, lines: list[bytes]
) -> None:
    """Nobody takes a part for the whole."""
    begun = b"{}" if CHUNKED not in lines else b"2\r\n{}\r\n"
    async with saying(head(JSON, *lines) + begun) as url:
        headers = await hosted(owner, url)
        async with gateway.client.post(gateway.mcp("evil"), json=call(), headers=headers) as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


async def test_a_list_of_tools_that_is_one_endless_event(gateway: Running, owner: User) -> None:
    """A policy has to see all of an event: there is an end to how much of it is held."""
    async with saying(head(EVENTS), for_ever=b"data: " + b"x" * 10_000) as url:
        headers = await hosted(owner, url, tools_denied=["echo"])
        send = gateway.client.post(gateway.mcp("evil"), json=call("tools/list"), headers=headers)
        async with send as response:
            assert response.status == 200
            assert b"x" not in await response.read()


def test_a_list_of_tools_that_comes_in_crumbs() -> None:
    """Each crumb once had all of what was held looked through again: hours of one event loop."""
    policy = combined(ToolLists((), ("echo",)), None)
    assert policy
    held = ListFilter(policy, events=True)
    crumbs = LARGEST // 16
    for _ in range(crumbs):
        assert held.feed(b"data: 0123456789") == b""
    with pytest.raises(Broken):
        held.feed(b"data: 0123456789")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_are_told_apart_whatever_pieces_they_come_in(size: int, end: bytes) -> None:
    policy = combined(ToolLists((), ("echo",)), None)
    assert policy
    tools = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"echo"},{"name":"add"}]}}'
    stream = b"".join(b"data: " + each + end + end for each in (b"{}", tools, b'{"a":1}'))
    held, passed = ListFilter(policy, events=True), b""
    for at in range(0, len(stream), size):
        passed += held.feed(stream[at : at + size])
    passed += held.end()
    assert b"echo" not in passed
    assert [passed.count(each) for each in (b"data: {}", b'"add"', b'{"a":1}')] == [1, 1, 1]
