"""Spans of calls: where their context comes from, where it goes, and what they say."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from django.contrib.auth.models import User
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, Tracer

from gateway.options import Options
from gateway.tracing import Tracing
from gateway.types import Receive, Scope, Send
from servers.models import Server

from .conftest import JSON, Running, Upstream, bearer, call, host, in_database, running_gateway, token

pytestmark = pytest.mark.core
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"


class Recorded(NonRecordingSpan):
    """A span that remembers, as an SDK's does."""

    def __init__(self, name: str, parent: SpanContext, attributes: Any) -> None:
        trace_id = parent.trace_id or secrets.randbits(128)
        super().__init__(SpanContext(trace_id, secrets.randbits(64), False, TraceFlags(1)))
        self.name, self.parent, self.attributes = name, parent, dict(attributes or {})
        self.failed = self.ended = False

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def set_status(self, status: Any, description: str | None = None) -> None:
        self.failed = True

    def end(self, end_time: int | None = None) -> None:
        self.ended = True

    @property
    def traceparent(self) -> str:
        own = self.get_span_context()
        return f"00-{own.trace_id:032x}-{own.span_id:016x}-01"


class Recorder(Tracer):
    def __init__(self) -> None:
        self.spans: list[Recorded] = []

    def start_span(self, name: str, context: Any = None, *args: Any, **kwargs: Any) -> Span:
        parent = trace.get_current_span(context).get_span_context()
        self.spans.append(Recorded(name, parent, kwargs["attributes"]))
        return self.spans[-1]

    @contextmanager
    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> Iterator[Span]:
        yield self.start_span(name)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def gateway(recorder: Recorder, transactional_db: None) -> AsyncIterator[Running]:
    async with running_gateway(Options(fresh=0.2)) as running:
        running.gateway.tracing = Tracing(recorder)
        yield running


@pytest.fixture
async def value(gateway: Running, upstream: Upstream, owner: User) -> str:
    return await in_database(lambda: token(owner, host(owner, "clock", upstream.url, tools_denied=["no"])))


async def ask(gateway: Running, value: str, body: Any, **headers: str) -> None:
    url = gateway.mcp("clock")
    async with gateway.client.post(url, data=body, headers=bearer(value, **headers)) as response:
        await response.read()


async def test_the_callers_context_comes_in_headers_and_ours_goes_on_in_both(
    gateway: Running, upstream: Upstream, recorder: Recorder, value: str
) -> None:
    body = (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":'
        b'{"name":"tell","arguments":{"n":1234567890123456789012,"t":"\xc3\xa9"}}}'
    )
    await ask(gateway, value, body, traceparent=CALLER, tracestate="a=b", baggage="user=x")
    (span,) = recorder.spans
    assert format(span.parent.span_id, "016x") == "b7ad6b7169203331"
    assert span.ended
    seen = upstream.seen[0]
    assert seen.header("traceparent") == span.traceparent
    assert seen.header("baggage") == "user=x"
    assert seen.header("content-length") == str(len(seen.body))
    sent = orjson.loads(seen.body)
    assert sent["params"]["_meta"]["traceparent"] == span.traceparent
    assert b"1234567890123456789012" in seen.body
    assert sent["params"]["arguments"]["t"] == "é"


async def test_the_context_in_meta_has_the_last_word(
    gateway: Running, upstream: Upstream, recorder: Recorder, value: str
) -> None:
    body = orjson.dumps(call(name="tell", _meta={"traceparent": OTHER, "tracestate": "x=y", "mine": 1}))
    await ask(gateway, value, body, traceparent=CALLER)
    (span,) = recorder.spans
    assert format(span.parent.span_id, "016x") == "c7ad6b7169203331"
    meta = orjson.loads(upstream.seen[0].body)["params"]["_meta"]
    assert (meta["traceparent"], meta["mine"]) == (span.traceparent, 1)


async def test_what_a_span_says(gateway: Running, upstream: Upstream, recorder: Recorder, value: str) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": JSON})
        await send({"type": "http.response.body", "body": b'{"id":1,"result":{"isError":true}}'})

    upstream.behave = fails
    await ask(gateway, value, orjson.dumps(call(name="tell")), **{"mcp-protocol-version": "2025-11-25"})
    await ask(gateway, value, orjson.dumps(call(name="no")))
    await ask(gateway, value, orjson.dumps(call("tools/list")))
    tell, denied, listing = recorder.spans
    assert tell.name == "tools/call tell"
    assert tell.attributes["mcp.method.name"] == "tools/call"
    assert tell.attributes["gen_ai.tool.name"] == "tell"
    assert tell.attributes["gen_ai.operation.name"] == "execute_tool"
    assert tell.attributes["mcp.protocol.version"] == "2025-11-25"
    assert tell.attributes["jsonrpc.request.id"] == "1"
    assert (tell.attributes["error.type"], tell.failed) == ("tool_error", True)
    assert (denied.attributes["error.type"], denied.ended) == ("rpc_error", True)
    assert listing.name == "tools/list"
    assert "gen_ai.tool.name" not in listing.attributes


async def test_what_is_no_request_has_no_span(
    gateway: Running, upstream: Upstream, recorder: Recorder, value: str
) -> None:
    note = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
    await ask(gateway, value, note, traceparent=CALLER)
    assert recorder.spans == []
    assert (upstream.seen[0].body, upstream.seen[0].header("traceparent")) == (note, CALLER)


@pytest.mark.parametrize("body", [b"[]", b'{"id":1,"method":"x","params":[1]}', b'{"id":1,"method":"x"}'])
async def test_odd_requests_pass(
    gateway: Running, upstream: Upstream, recorder: Recorder, value: str, body: bytes
) -> None:
    await ask(gateway, value, body)
    (span,) = recorder.spans
    assert span.ended
    if b"params" in body or body == b"[]":
        assert upstream.seen[0].body == body
    else:
        assert orjson.loads(upstream.seen[0].body)["params"]["_meta"]["traceparent"] == span.traceparent


async def test_a_large_body_is_passed_on_as_it_comes(
    gateway: Running, upstream: Upstream, recorder: Recorder, value: str
) -> None:
    await in_database(lambda: Server.objects.update(tools_denied=[]))
    body = orjson.dumps(call(name="tell", arguments={"text": "x" * 200_000}))
    await ask(gateway, value, body)
    assert upstream.seen[0].body == body
    assert upstream.seen[0].header("traceparent") == recorder.spans[0].traceparent


async def test_without_tracing_context_crosses_untouched(
    transactional_db: None, upstream: Upstream, owner: User
) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    async with running_gateway(Options()) as running:
        assert running.gateway.tracing is None
        body = orjson.dumps(call(name="tell", _meta={"traceparent": OTHER}))
        await ask(running, value, body, traceparent=CALLER)
    assert (upstream.seen[0].body, upstream.seen[0].header("traceparent")) == (body, CALLER)


def test_opentelemetry_is_not_needed_without_it() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None; import django; django.setup();"
        "from gateway.app import Gateway; Gateway()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
