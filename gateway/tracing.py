"""OpenTelemetry spans of calls, by the semantic conventions for MCP. Imported only if TRACING is on.

The caller's W3C trace context is in HTTP headers or in the request's `_meta`, which has priority. The server
gets the gateway's context in both. With TRACING off, both are passed on unchanged.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from gateway.calls import Call
from gateway.request import Request
from gateway.types import RawHeaders
from metrics.methods import FAILURES

log = logging.getLogger(__name__)
CONTEXT = ("traceparent", "tracestate", "baggage")
TARGETS = {
    "tools/call": "gen_ai.tool.name",
    "prompts/get": "gen_ai.prompt.name",
    "resources/read": "mcp.resource.uri",
}


class CallSpan:
    """The span of one call; `end` has to be called."""

    def __init__(self, span: Span, came_with: Context) -> None:
        self._span = span
        self._context: dict[str, str] = {}
        propagate.inject(self._context, trace.set_span_in_context(span, came_with))

    def pass_on(self, headers: RawHeaders, body: bytes | None) -> tuple[RawHeaders, bytes | None]:
        """Returns headers and body with this span as the parent of the server's spans.

        A body that is None, or no JSON-RPC request, is not changed.
        """
        others = [header for header in headers if header[0].decode("latin-1") not in CONTEXT]
        ours = [(name.encode(), value.encode()) for name, value in self._context.items()]
        return [*others, *ours], body if body is None else self._in_meta(body)

    def _in_meta(self, body: bytes) -> bytes:
        try:
            message = json.loads(body)
            meta = message.setdefault("params", {}).setdefault("_meta", {})
            for name in CONTEXT:
                meta.pop(name, None)
            meta.update(self._context)
            return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except (ValueError, AttributeError, RecursionError):
            return body

    def end(self, call: Call) -> None:
        """Ends the span with the call's outcome."""
        for name, value in _outcome(call).items():
            self._span.set_attribute(name, value)
        if call.outcome in FAILURES:
            self._span.set_attribute("error.type", str(call.outcome))
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Tracing:
    """Makes spans."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, call: Call, request: Request, message: Mapping[str, Any] | None) -> CallSpan:
        """Starts the span of a call; `message` is the body, if it is one JSON-RPC object."""
        came_with = propagate.extract(_carried(request, message or {}))
        span = self._tracer.start_span(
            f"{call.method} {call.name}".strip() if call.method in TARGETS else call.method,
            context=came_with,
            kind=SpanKind.SERVER,
            attributes=_attributes(call),
            start_time=time.time_ns() - int((time.perf_counter() - call.began) * 1e9),
        )
        return CallSpan(span, came_with)

    def stop(self) -> None:
        """Sends the remaining spans. It blocks."""
        if shut_down := getattr(trace.get_tracer_provider(), "shutdown", None):
            shut_down()


def start() -> Tracing:
    """Starts tracing with the provider that is set (by `opentelemetry-instrument`), or with a new one.

    A new one exports as the OTEL_* variables say. Without an SDK no spans are sent, and the log says so.
    """
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        _set_up()
    return Tracing(trace.get_tracer("mcphost.gateway"))


def _set_up() -> None:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # type: ignore[import-not-found]
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace import TracerProvider  # type: ignore[import-not-found]
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # type: ignore[import-not-found]
    except ImportError:
        log.error("TRACING needs opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http")
        return
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def _carried(request: Request, message: Mapping[str, Any]) -> dict[str, str]:
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    carried = {name: request.one(name.encode()) for name in CONTEXT}
    if isinstance(meta, dict) and isinstance(meta.get("traceparent"), str):
        carried = {name: value for name in CONTEXT if isinstance(value := meta.get(name), str)}
    return {name: value for name, value in carried.items() if value and value.isascii()}


def _attributes(call: Call) -> dict[str, str | int]:
    known = {
        "mcp.method.name": call.method,
        "mcp.protocol.version": call.version,
        "jsonrpc.request.id": "" if call.request_id is None else str(call.request_id),
        "gen_ai.operation.name": "execute_tool" if call.method == "tools/call" else "",
        TARGETS.get(call.method, "mcphost.name"): call.name,
        "network.protocol.name": "http",
        "mcphost.server.id": call.server_id,
    }
    return {name: value for name, value in known.items() if value != ""}


def _outcome(call: Call) -> dict[str, str | int]:
    return {
        "http.response.status_code": call.status,
        "mcphost.deployment.id": call.deployment_id,
        "mcphost.outcome": str(call.outcome),
    }
