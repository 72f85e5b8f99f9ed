"""Calls are recorded beside the path: what of them, and what happens when there is no room."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, connection

from gateway.calls import Call, Outcome, describe, judge
from gateway.request import Request
from gateway.types import Receive, Scope, Send
from gateway.usage import UsageWriter
from metrics.models import UsageMetric
from servers.models import Token
from tests.eventually import eventually

from .conftest import JSON, Running, Upstream, bearer, call, host, in_database, token

pytestmark = pytest.mark.core

KEYS = {
    "method": str,
    "name": str,
    "era": str,
    "protocol_version": str,
    "client": str,
    "token": str,
    "outcome": str,
    "status": int,
    "duration_ms": int,
    "first_byte_ms": int,
    "bytes_in": int,
    "bytes_out": int,
    "sse_messages": int,
    "cold_start": bool,
}


async def test_a_call_is_recorded_with_every_key(gateway: Running, upstream: Upstream, owner: User) -> None:
    async def behave(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": JSON})
        await send({"type": "http.response.body", "body": b'{"jsonrpc":"2.0","id":1,"error":{"code":-1}}'})

    upstream.behave = behave
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    body = call(name="tell", arguments={"secret": "do not keep"})
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    for sent in (body, note):
        await (await gateway.client.post(gateway.mcp("clock"), json=sent, headers=bearer(value))).read()
    (details,) = await gateway.calls()
    assert {key: type(value) for key, value in details.items()} == KEYS
    assert details["outcome"] == "rpc_error"
    assert (details["method"], details["name"], details["era"]) == ("tools/call", "tell", "legacy")
    assert details["token"] == value[:12]
    assert details["bytes_in"] > 0
    assert details["bytes_out"] == 44
    assert "do not keep" not in str(details)
    row = await in_database(lambda: UsageMetric.objects.select_related("deployment").get())
    assert row.deployment is not None
    assert (await in_database(Token.objects.get)).last_used_at is not None


@pytest.mark.parametrize("odd", [b'"\\ud800"', b"1e999", b"NaN", b"[" * 2000 + b"]" * 2000])
async def test_a_call_that_only_other_parsers_take_is_one_all_the_same(
    gateway: Running, upstream: Upstream, owner: User, odd: bytes
) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":[%b],"name":"tell"}}' % odd
    async with gateway.client.post(gateway.mcp("clock"), data=body, headers=bearer(value)) as response:
        assert response.status == 200
    assert upstream.seen[0].body == body
    assert [(made["method"], made["name"]) for made in await gateway.calls()] == [("tools/call", "tell")]


async def test_arguments_that_only_other_parsers_take_are_kept_as_they_can_be(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    server = await in_database(lambda: host(owner, "clock", upstream.url, record_arguments=True))
    value = await in_database(lambda: token(owner, server))
    for odd in (rb'"\ud800"', b"1" * 30, b"NaN"):
        body = (
            b'{"jsonrpc":"2.0","id":%b,"method":"tools/call","params":{"arguments":{"a":"\\udfff","b":%b}}}'
        )
        data = body % (odd, odd)
        async with gateway.client.post(gateway.mcp("clock"), data=data, headers=bearer(value)) as response:
            assert response.status == 200
    kept = [made["arguments"] for made in await gateway.calls()]
    number = pytest.approx(float("1" * 30))  # PostgreSQL gives it back as a whole number
    assert kept == [{"a": "?", "b": "?"}, {"a": "?", "b": number}, None]


@pytest.mark.parametrize("body", ['{"id":1,"method":"tools/list"}'.encode("utf-16"), b"\xff"])
async def test_what_cannot_be_read_is_a_call_and_from_2026_on_refused(
    gateway: Running, upstream: Upstream, owner: User, body: bytes
) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    modern = {"mcp-protocol-version": "2026-07-28", "mcp-method": "ping"}
    for headers, status in (({}, 200), (modern, 400)):
        async with gateway.client.post(
            gateway.mcp("clock"), data=body, headers=bearer(value, **headers)
        ) as response:
            assert response.status == status
    assert len(upstream.seen) == 1
    assert [made["method"] for made in await gateway.calls()] == ["unknown", "ping"]


def test_a_fault_of_the_connection_does_not_end_the_recording(owner: User) -> None:
    """`InterfaceError` is no `DatabaseError`."""
    faults = [InterfaceError("connection already closed")]

    def also() -> None:
        if faults:
            raise faults.pop()

    server = host(owner, "clock", "")
    writer = UsageWriter(every=0.01, also=also)
    writer.start()
    eventually(lambda: not faults)
    writer.record(Call(server_id=server.pk, token_id=1, token="mcph_abc", counts=True, ended=1.0))
    writer.stop()
    assert UsageMetric.objects.get().server_id == server.pk


def test_calls_of_a_server_that_was_deleted_meanwhile_are_left_out(transactional_db: None) -> None:
    writer = UsageWriter()
    writer.record(Call(server_id=999, token_id=1, token="mcph_abc", counts=True))
    writer.start()
    writer.stop()
    assert not UsageMetric.objects.exists()
    assert writer.dropped == 0


def test_what_finds_no_room_is_counted() -> None:
    writer = UsageWriter(most=2)
    for _ in range(5):
        writer.record(Call(server_id=1, token_id=1, token="mcph_abc", counts=True))
    assert writer.dropped == 3


def test_calls_wait_while_the_database_is_away(owner: User) -> None:
    server = host(owner, "clock", "")
    writer = UsageWriter()
    writer.record(Call(server_id=server.pk, token_id=1, token="mcph_abc", counts=True, ended=1.0))
    with connection.schema_editor() as editor:
        editor.alter_db_table(UsageMetric, "metrics_usagemetric", "metrics_away")
    try:
        writer._flush()
        assert writer.dropped == 0
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(UsageMetric, "metrics_away", "metrics_usagemetric")
    writer._flush()
    assert UsageMetric.objects.get().server_id == server.pk


def described(body: bytes | None, **headers: str) -> Call:
    made = Call(server_id=1, token_id=1, token="mcph_abc")
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    describe(made, Request("POST", "/mcp/clock", b"", "http", raw), body)
    return made


def test_what_is_called_is_read_off_the_body() -> None:
    made = described(
        b'{"id":"a","method":"initialize","params":{"protocolVersion":"2025-11-25",'
        b'"clientInfo":{"name":"probe","version":"1\\u0000"}}}'
    )
    assert (made.counts, made.request_id, made.method) == (True, "a", "initialize")
    assert (made.version, made.client) == ("2025-11-25", "probe 1")
    read = described(b'{"id":1,"method":"resources/read","params":{"uri":"file:///x"}}')
    assert read.name == "file:///x"


def test_a_long_body_is_known_by_its_headers_alone() -> None:
    made = described(None, mcp_method="tools/call", mcp_name="tell", mcp_protocol_version="2026-07-28")
    assert (made.counts, made.method, made.name, made.version) == (True, "tools/call", "tell", "2026-07-28")
    assert described(None).method == "unknown"


def test_odd_bodies_are_the_servers_to_judge() -> None:
    assert [described(body).counts for body in (b"", b"{", b"1", b'{"id":1,"result":{}}')] == [False] * 4
    assert described(b"[]").method == "batch"


def test_outcomes() -> None:
    made = Call(server_id=1, token_id=1, token="mcph_abc", status=200)
    assert judge(made, {"id": 1, "result": {"isError": True}}) == Outcome.TOOL_ERROR
    assert judge(made, {"id": 1, "result": {}}) == judge(made, {}) == Outcome.OK
    made.status = 404
    assert judge(made, {"id": 1, "error": {}}) == Outcome.RPC_ERROR
    assert judge(made, {}) == Outcome.HTTP_ERROR
