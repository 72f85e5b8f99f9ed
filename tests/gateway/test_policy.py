"""Tools that a server or a token does not allow: absent from lists, refused on call."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest
from django.contrib.auth.models import User

from gateway import policy
from gateway.errors import Refusal
from gateway.http1 import Broken
from gateway.policy import Policy, ToolLists
from gateway.tool_lists import ListFilter
from gateway.types import Receive, Scope, Send
from servers.models import Server

from .conftest import EVENTS, JSON, Running, Upstream, bearer, call, host, in_database, token, until

pytestmark = pytest.mark.core
TOOLS = ["read_file", "read_dir", "write_file", "delete"]
MODERN = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "delete"}


@pytest.mark.parametrize(
    ("allowed", "denied", "expected"),
    [
        ([], [], TOOLS),
        (["read_*"], [], ["read_file", "read_dir"]),
        ([], ["delete", "write*"], ["read_file", "read_dir"]),
        (["*_file"], ["write_?ile"], ["read_file"]),
        (["READ_*"], [], []),
        (["[rw]*_file"], [], ["read_file", "write_file"]),
    ],
)
def test_lists(allowed: list[str], denied: list[str], expected: list[str]) -> None:
    assert [name for name in TOOLS if ToolLists(allowed, denied).permit(name)] == expected


def test_both_lists_hold_and_none_is_no_policy() -> None:
    server, mine = ToolLists(allowed=["read_*"]), ToolLists(denied=["*_dir"])
    both = policy.combined(server, mine)
    assert both is not None
    assert [name for name in TOOLS if both.permits(name)] == ["read_file"]
    assert policy.combined(None, None) is None
    assert policy.lists_of([], []) is None


NO_DELETE = Policy((ToolLists(denied=["delete"]),), personal=False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"method":"tools/call","params":{"name":"delete"}}',
        b'{"method":"tools\\/call","params":{"name":"d\\u0065lete"}}',
        b'[{"method":"ping"},{"method":"tools/call","params":{"name":"delete"}}]',
        b'{"method":"tools/call","params":{}}',
        b'{"method":"tools/call","params":{"name":["read_file"]}}',
        b'{"method":"tools/call"}',
        # What another parser may read otherwise:
        b'{"method":"tools/call","params":{"name":"delete","name":"read_file"}}',
        b'{"method":"tools/call","params":{"name":"read_file","Name":"delete"}}',
        b'{"method":"ping","Method":"tools/call","params":{"name":"delete"}}',
        '{"method":"tools/call","params":{"name":"read_file"},"param\u017f":{"name":"delete"}}'.encode(),
        '{"method":"tools/call","params":{"name":"delete"}}'.encode("utf-16"),
        b'\xef\xbb\xbf{"method":"tools/call","params":{"name":"delete"}}',
        gzip.compress(b'{"method":"tools/call","params":{"name":"delete"}}', mtime=0),
        b"[" * 100_000,
        b"",
    ],
)
def test_no_way_around(body: bytes) -> None:
    with pytest.raises(Refusal):
        NO_DELETE.check(body, modern=False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"method":"tools/call","params":{"name":"read_file","arguments":{"name":"delete","NAME":1}}}',
        b'{"method":"prompts/get","params":{"name":"delete"}}',
        b'{"id":1,"result":{"name":"delete"}}',
        b"[]",
        b"1",
    ],
)
def test_what_calls_no_denied_tool_passes(body: bytes) -> None:
    NO_DELETE.check(body, modern=False)


def listing(*names: str, **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": name} for name in names], **more}}


def names_in(message: Any) -> list[str]:
    return [tool["name"] for tool in message["result"]["tools"]]


def filtered(chunks: list[bytes], *, events: bool) -> bytes:
    made = ListFilter(NO_DELETE, events=events)
    return b"".join(map(made.feed, chunks)) + made.end()


def test_paging_and_everything_else_stays() -> None:
    page = listing(*TOOLS, nextCursor="2", _meta={"n": 12345678901234567890123})
    found = filtered([str(page).replace("'", '"').encode()], events=False)
    assert b"12345678901234567890123" in found
    assert b'"nextCursor":"2"' in found
    assert b"delete" not in found
    empty = orjson.loads(filtered([orjson.dumps(listing("delete", nextCursor="3"))], events=False))
    assert empty["result"] == {"tools": [], "nextCursor": "3"}


def test_bytes_without_a_denied_tool_stay_as_they_are() -> None:
    body = b'{ "result":{"tools" : [{"name":"read_file"}]} }'
    assert filtered([body[:10], body[10:]], events=False) == body
    stream = b": hello\n\nid: 1\ndata:\n\ndata: " + body + b"\n\nevent: x\r\ndata: no json\r\n\r\ntail"
    assert filtered([stream], events=True) == stream


@pytest.mark.parametrize("key", [rb"\u0074ools", rb"\u0074\u006F\u006f\u006c\u0073"])
def test_no_spelling_of_the_list_shows_a_denied_tool(key: bytes) -> None:
    """JSON may write any letter as an escape (RFC 8259 section 7)."""
    body = orjson.dumps(listing("read", "delete")).replace(b"tools", key)
    assert names_in(orjson.loads(filtered([body], events=False))) == ["read"]
    event = b"data: " + body + b"\n\n"
    assert b"delete" not in filtered([event], events=True)


def test_a_list_that_is_too_deep_to_look_at_is_not_shown() -> None:
    body = b'{"result":{"tools":[{"name":"delete"}],"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}}"
    with pytest.raises(Broken, match="too deep"):
        filtered([body], events=False)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_in_any_chunks(end: bytes) -> None:
    data = orjson.dumps(listing(*TOOLS))
    lines = [b": ping", b"", b"id: 7", b"event: message", b"data: " + data, b"", b"data: {}", b"", b""]
    stream = end.join(lines)
    for size in (1, 2, 7, len(stream)):
        chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
        found = filtered(chunks, events=True)
        (event,) = [part for part in found.replace(end, b"\n").split(b"\n\n") if b"read_file" in part]
        lines_of_it = event.strip().split(b"\n")
        assert b"id: 7" in lines_of_it
        assert names_in(orjson.loads(lines_of_it[-1].removeprefix(b"data: "))) == TOOLS[:3]
        assert b"delete" not in found


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"data: %b\r\r", id="the last line ends in CR"),
        pytest.param(b"\xef\xbb\xbfdata: %b\n\n", id="a byte order mark"),
        pytest.param(b"data: %b", id="an event that some clients take though it has no end"),
        pytest.param(b"data\ndata: %b\n\n", id="a field without a colon"),
    ],
)
def test_no_event_of_the_grammar_shows_a_denied_tool(stream: bytes) -> None:
    found = filtered([stream % orjson.dumps(listing(*TOOLS))], events=True)
    assert b"read_file" in found
    assert b"delete" not in found


def test_an_event_passes_as_soon_as_it_is_whole() -> None:
    made = ListFilter(NO_DELETE, events=True)
    assert made.feed(b"data: {}\n") == b""
    assert made.feed(b"\ndata:") == b"data: {}\n\n"
    assert made.feed(b" {}\r\r") == b"data: {}\r\r"


def test_a_list_for_one_token_is_not_for_shared_caches() -> None:
    mine = Policy((ToolLists(denied=["x"]),), personal=True)
    message = listing("a", cacheScope="public", ttlMs=1000)
    assert mine.trim(message)
    assert message["result"]["cacheScope"] == "private"
    assert not NO_DELETE.trim(listing("a", cacheScope="public"))


async def server_with_tools(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers as an event stream when asked to by the query, after a notification."""
    body, as_events = orjson.dumps(listing(*TOOLS)), b"events" in scope["query_string"]
    headers = EVENTS if as_events else [*JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if as_events:
        note = b'event: message\ndata: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n'
        await send({"type": "http.response.body", "body": note, "more_body": True})
        body = b"event: message\ndata: " + body + b"\n\n"
    await send({"type": "http.response.body", "body": body})


async def listed(gateway: Running, value: str, query: str = "", **headers: str) -> list[str]:
    url, body = gateway.mcp("clock") + query, call("tools/list")
    async with gateway.client.post(url, json=body, headers=bearer(value, **headers)) as response:
        text = await response.read()
    return names_in(orjson.loads(text.rpartition(b"data: ")[2] if query else text))


@pytest.mark.parametrize("query", ["", "?events"])
async def test_a_denied_tool_is_absent_and_refused(
    gateway: Running, upstream: Upstream, owner: User, query: str
) -> None:
    def make() -> tuple[str, str]:
        server = host(owner, "clock", upstream.url, tools_denied=["delete"])
        return token(owner, server), token(owner, server, tools_allowed=["read_*"])

    upstream.behave = server_with_tools
    usual, narrow = await in_database(make)
    assert await listed(gateway, usual, query) == TOOLS[:3]
    assert await listed(gateway, narrow, query, **{"accept-encoding": "gzip"}) == TOOLS[:2]
    assert upstream.seen[-1].header("accept-encoding") == "identity"
    seen = len(upstream.seen)
    for value, name in ((usual, "delete"), (narrow, "write_file")):
        async with gateway.client.post(
            gateway.mcp("clock"), json=call(name=name), headers=bearer(value)
        ) as response:
            assert response.status == 200
            error = (await response.json())["error"]
        assert (error["code"], f"Unknown tool: {name}" in error["message"]) == (-32602, True)
    assert len(upstream.seen) == seen
    async with gateway.client.post(
        gateway.mcp("clock"), json=call(name="write_file"), headers=bearer(usual)
    ) as response:
        assert "result" in await response.json()
    assert [row["outcome"] for row in await gateway.calls()] == ["ok", "ok", "rpc_error", "rpc_error", "ok"]


ODD_LISTS = [
    r'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"name":"\ud800"}}',
    r'{"jsonrpc":"2.0","id":"\ud800","method":"tools/list"}',
    r'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/clientInfo":{"name":"\ud800"}}}}',
    r'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"name":"%s\ud800"}}' % ("x" * 20_000),
    r'[{"jsonrpc":"2.0","id":1,"method":"tools/list"},{"jsonrpc":"2.0","method":"x","params":["\ud800"]}]',
]


@pytest.mark.parametrize("body", ODD_LISTS)
async def test_half_a_surrogate_pair_hides_no_list(
    gateway: Running, upstream: Upstream, owner: User, body: str
) -> None:
    def make() -> str:
        fields = {"tools_denied": ["delete"], "record_arguments": True}
        return token(owner, host(owner, "clock", upstream.url, **fields))

    upstream.behave = server_with_tools
    headers = bearer(await in_database(make), **{"content-type": "application/json"})
    async with gateway.client.post(gateway.mcp("clock"), data=body.encode(), headers=headers) as response:
        assert names_in(await response.json()) == TOOLS[:3]
    (made,) = await gateway.calls()
    assert made["method"] == ("batch" if body.startswith("[") else "tools/list")


@pytest.mark.parametrize(
    "body",
    [
        r'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete","x":"\ud800"}}',
        r'{"jsonrpc":"2.0","id":"\ud800","method":"tools/call","params":{"name":"delete\ud800"}}',
        r'[{"jsonrpc":"2.0","id":"\ud800","method":"tools/call","params":{"name":"delete"}}]',
    ],
)
async def test_half_a_surrogate_pair_opens_no_denied_tool(
    gateway: Running, upstream: Upstream, owner: User, body: str
) -> None:
    lists = {"tools_denied": ["delete*"]}
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url, **lists)))
    async with gateway.client.post(
        gateway.mcp("clock"), data=body.encode(), headers=bearer(value)
    ) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (200, -32602)
    assert upstream.seen == []


async def test_a_modern_client_gets_status_400(gateway: Running, upstream: Upstream, owner: User) -> None:
    value = await in_database(
        lambda: token(owner, host(owner, "clock", upstream.url, tools_denied=["delete"]))
    )
    async with gateway.client.post(
        gateway.mcp("clock"), json=call(name="delete"), headers=bearer(value, **MODERN)
    ) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("header", "value", "read"),
    [
        ("content-type", "application/json; charset=utf-7", False),
        ("content-type", "application/json; a=b; CHARSET = 'x'", False),
        ("content-type", "application/json; charset=utf-8; charset=utf-7", False),
        ("content-encoding", "br", False),
        ("content-type", 'application/json; charset="UTF-8"', True),
        ("content-type", "application/json;charset=utf8;a=b", True),
        ("content-encoding", "identity", True),
    ],
)
async def test_a_body_that_its_headers_declare_to_be_something_else_is_refused(
    gateway: Running, upstream: Upstream, owner: User, header: str, value: str, read: bool
) -> None:
    """In UTF-7, which Express reads, this calls `delete`."""
    key = await in_database(lambda: token(owner, host(owner, "clock", upstream.url, tools_denied=["delete"])))
    headers = bearer(key, **{"content-type": "application/json", header: value})
    body = orjson.dumps(call(name="+AGQ-elete"))
    async with gateway.client.post(gateway.mcp("clock"), data=body, headers=headers) as response:
        assert response.status == (200 if read else 400)
    assert len(upstream.seen) == read


async def test_a_large_body_is_looked_at_as_well(gateway: Running, upstream: Upstream, owner: User) -> None:
    def make() -> str:
        return token(owner, host(owner, "clock", upstream.url, tools_denied=["delete"]))

    value = await in_database(make)
    for name, expected in (("delete", -32602), ("read_file", None)):
        body = call(arguments={"text": "x" * 200_000}, name=name)
        async with gateway.client.post(gateway.mcp("clock"), json=body, headers=bearer(value)) as response:
            assert (await response.json()).get("error", {}).get("code") == expected
    assert len(upstream.seen[0].body) > 200_000


async def test_a_stream_that_is_taken_up_again_is_filtered(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    upstream.behave = server_with_tools
    value = await in_database(
        lambda: token(owner, host(owner, "clock", upstream.url, tools_denied=["delete"]))
    )
    headers = bearer(value, **{"last-event-id": "1", "accept": "text/event-stream"})
    async with gateway.client.get(gateway.mcp("clock") + "?events", headers=headers) as response:
        text = await response.read()
    assert b"read_file" in text
    assert b"delete" not in text


async def test_other_answers_are_not_touched(gateway: Running, upstream: Upstream, owner: User) -> None:
    upstream.behave = server_with_tools
    value = await in_database(
        lambda: token(owner, host(owner, "clock", upstream.url, tools_denied=["delete"]))
    )
    async with gateway.client.post(
        gateway.mcp("clock"), json=call(name="read_file"), headers=bearer(value)
    ) as response:
        assert names_in(await response.json()) == TOOLS
        assert "content-length" in response.headers


async def test_an_answer_that_cannot_be_read_is_refused(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    async def compressed(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*JSON, (b"content-encoding", b"gzip")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": gzip.compress(orjson.dumps(listing(*TOOLS)))})

    upstream.behave = compressed
    value = await in_database(
        lambda: token(owner, host(owner, "clock", upstream.url, tools_denied=["delete"]))
    )
    async with gateway.client.post(
        gateway.mcp("clock"), json=call("tools/list"), headers=bearer(value)
    ) as response:
        assert response.status == 502


async def test_changed_lists_hold_soon(gateway: Running, upstream: Upstream, owner: User) -> None:
    upstream.behave = server_with_tools
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    assert await listed(gateway, value) == TOOLS
    await in_database(lambda: Server.objects.update(tools_allowed=["delete"]))

    async def in_force() -> bool:
        return await listed(gateway, value) == ["delete"]

    await until(in_force)
