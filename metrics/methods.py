"""Names by which calls are counted. Callers choose methods and names freely: counting has to be bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OTHER = "other"
KNOWN = frozenset({
    "batch", "completion/complete", "initialize", "logging/setLevel", "ping", "prompts/get", "prompts/list",
    "resources/list", "resources/read", "resources/subscribe", "resources/templates/list",
    "resources/unsubscribe", "server/discover", "subscriptions/listen", "tasks/cancel", "tasks/get",
    "tasks/list", "tasks/result", "tasks/update", "tools/call", "tools/list", "unknown",
})  # fmt: skip
# Resources are left out: a URI may hold anything, and each may be another.
NAMED = frozenset({"tools/call", "prompts/get"})
# Outcomes of `mcp_call` that are the server's or the platform's failure to answer.
FAILURES = frozenset({"tool_error", "rpc_error", "http_error", "timeout"})


def method_of(details: Mapping[str, Any]) -> str:
    method = details.get("method", "")
    return method if method in KNOWN else OTHER


def name_of(details: Mapping[str, Any]) -> str:
    """The tool or prompt; "" for every other method."""
    return str(details.get("name", "")) if details.get("method") in NAMED else ""
