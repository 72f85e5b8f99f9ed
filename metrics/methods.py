"""Classifies calls for counting: by method, name, client, outcome and duration.

Callers choose names freely, so the number of different names has to be bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

OTHER, NO_CLIENT = "other", "(no name)"
LONGEST_CLIENT = 200  # characters; the rest is not read
_VERSION = re.compile(r"\s+v?\d\S*$")
KNOWN = frozenset({
    "batch", "completion/complete", "initialize", "logging/setLevel", "ping", "prompts/get", "prompts/list",
    "resources/list", "resources/read", "resources/subscribe", "resources/templates/list",
    "resources/unsubscribe", "server/discover", "subscriptions/listen", "tasks/cancel", "tasks/get",
    "tasks/list", "tasks/result", "tasks/update", "tools/call", "tools/list", "unknown",
})  # fmt: skip
# Not resources: a URI may hold anything, and each call may have another one.
NAMED = frozenset({"tools/call", "prompts/get"})
# Outcomes of `mcp_call` in which the server or the platform failed to answer.
FAILURES = frozenset({"tool_error", "rpc_error", "http_error", "timeout"})
# Upper bounds of durations, in ms.
BOUNDS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000)


def method_of(details: Mapping[str, Any]) -> str:
    """Returns the call's method, or OTHER for one that is not in KNOWN."""
    method = details.get("method", "")
    return method if method in KNOWN else OTHER


def name_of(details: Mapping[str, Any]) -> str:
    """Returns the tool or prompt; "" for every other method."""
    return str(details.get("name", "")) if details.get("method") in NAMED else ""


def client_of(details: Mapping[str, Any]) -> str:
    """Returns the client's name without its version, which changes too often to be counted."""
    return _VERSION.sub("", str(details.get("client", ""))[:LONGEST_CLIENT])[:100] or NO_CLIENT
