"""The telemetry contract as data: which keys an event has, of which type, and in which order events come.

`violations(events)` and `order_violations(events)` take the objects that REST returns or SSE sends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

Check = Callable[[Any], bool]
Event = Mapping[str, Any]
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/v[0-9]+)?")
ERROR_KINDS = {
    "tag", "push", "remote", "auth_expired", "build", "source", "runtime", "timeout", "cancelled", "internal",
}  # fmt: skip

OUTCOMES = {"ok", "tool_error", "rpc_error", "http_error", "timeout", "cancelled", "input_required"}


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _digest(value: Any) -> bool:
    return isinstance(value, str) and bool(DIGEST.fullmatch(value))


def _platform(value: Any) -> bool:
    return isinstance(value, str) and bool(PLATFORM.fullmatch(value))


def _platforms(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_platform, value))


def _error_kind(value: Any) -> bool:
    return value in ERROR_KINDS


def _reason(value: Any) -> bool:
    return value in ("auth_refresh", "retryable_error")


def _moment(value: Any) -> bool:
    return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


# The keys of the row itself: of every event over REST and over SSE, these and no others.
ROW: dict[str, Check] = {
    "id": _count,
    "server": _count,
    "deployment": _optional(_count),
    "timestamp": _moment,
    "event_type": _text,
    "details": lambda value: isinstance(value, dict),
}
# What a look at a credential finds. Where nobody can tell when it ends, `seconds` is left out.
HEALTH: dict[str, Check] = {
    "status": lambda value: value in ("healthy", "expiring_soon", "expired", "unknown"),
    "source": _text,
    "refreshed": _flag,
    "seconds": lambda value: isinstance(value, int) and not isinstance(value, bool),  # negative: since
    "age_seconds": _count,
}
# The type that a key of `details` has wherever it appears.
TYPES: dict[str, Check] = {
    "platform": lambda value: value == "" or _platform(value),  # "" only where REFRESHES says so
    "registry_endpoint": _text,
    "attempt": _count,
    "retry_limit": _count,
    "error": _text,
    "error_kind": _error_kind,
    "auth_expired": _flag,
    "reason": _reason,
    "tag": _text,
    "digest": _digest,
    "architectures": _platforms,
    "duration_ms": _count,
    "method": _text,
    "name": _text,
    "era": lambda value: value in ("legacy", "modern", "both"),  # of a call one, of a server perhaps both
    "protocol_version": _text,
    "client": _text,
    "token": _text,
    "outcome": lambda value: value in OUTCOMES,
    "first_byte_ms": _count,
    "bytes_in": _count,
    "bytes_out": _count,
    "sse_messages": _count,
    "cold_start": _flag,
    "secret": _text,
    "namespace": _text,
    "changed": lambda value: isinstance(value, (bool, list)),  # whether it was, or which tools were
}
_STREAM = {"attempt", "retry_limit", "registry_endpoint", "platform"}
_FAILURE = {"error", "error_kind", "auth_expired"}
# The keys that an event's `details` has at least.
REQUIRED: dict[str, set[str]] = {
    "tag_started": {"registry_endpoint", "tag", "platform"},
    "tag_succeeded": {"registry_endpoint", "tag", "platform", "duration_ms"},
    "push_started": _STREAM,
    "push_succeeded": _STREAM | {"digest", "duration_ms"},
    "push_retry": _STREAM | {"reason"} | _FAILURE,
    "push_failed": _STREAM | _FAILURE | {"duration_ms"},
    "auth_refresh_started": _STREAM,
    "auth_refresh_succeeded": _STREAM | {"duration_ms"},
    "auth_refresh_failed": _STREAM | _FAILURE | {"duration_ms"},
    "manifest_failed": {"registry_endpoint", "tag", "architectures", "duration_ms"} | _FAILURE,
    "manifest_published": {"registry_endpoint", "tag", "digest", "architectures", "duration_ms"},
}
_SECRET = {"secret", "namespace", "duration_ms"}
REQUIRED |= {
    "auth_health_reported": {"registry_endpoint", "status", "source", "refreshed"},
    "pull_secret_patched": _SECRET | {"changed"},
    "pull_secret_failed": _SECRET | {"error", "error_kind"},
    "deploy_cancelled": {"number", "error", "error_kind", "duration_ms"},
    "deploy_held": {"number", "duration_ms"},
    "server_restart_failed": {"number", "error", "error_kind", "duration_ms"},
}
REQUIRED["mcp_call"] = {
    "method", "name", "era", "protocol_version", "client", "token", "outcome", "status", "duration_ms",
    "first_byte_ms", "bytes_in", "bytes_out", "sse_messages", "cold_start",
}  # fmt: skip
STEPS = ("deploy", "clone", "build", "start", "health", "discover", "stop", "rollback")
for step in STEPS:
    REQUIRED[f"{step}_started"] = set()
    REQUIRED[f"{step}_succeeded"] = {"duration_ms"}
    REQUIRED[f"{step}_failed"] = {"duration_ms", "error", "error_kind"}
OTHERS = {"server_restarted", "schema_changed", "schema_approved", "schema_declined"}
EVENT_TYPES = set(REQUIRED) | OTHERS
# What may follow an event in the life of one platform's push; None stands before the first.
FOLLOWS: dict[str | None, set[str]] = {
    None: {"tag_started"},
    "tag_started": {"tag_succeeded", "push_failed"},
    "tag_succeeded": {"push_started"},
    "push_started": {"push_succeeded", "push_failed", "auth_refresh_started", "push_retry"},
    "auth_refresh_started": {"auth_refresh_succeeded", "auth_refresh_failed"},
    "auth_refresh_succeeded": {"push_retry"},
    "auth_refresh_failed": {"push_failed"},
    "push_retry": {"push_succeeded", "push_failed", "auth_refresh_started", "push_retry"},
    "push_succeeded": set(),
    "push_failed": set(),
}
OF_A_PUSH = {kind for kind in FOLLOWS if kind}
# Outside of a push, before it or after it, these have no platform and attempt 0.
REFRESHES = {"auth_refresh_started", "auth_refresh_succeeded", "auth_refresh_failed"}


def violations(events: Iterable[Event]) -> list[str]:
    """A sentence for each key that is missing, unknown to the row, or of the wrong type."""
    return [sentence for event in events for sentence in _violations(event)]


def _violations(event: Event) -> Iterable[str]:
    kind, details = event.get("event_type"), event.get("details", {})
    if set(event) != set(ROW):
        yield f"{kind}: the row has the keys {sorted(event)}"
        return
    yield from (f"{kind}: {key}={event[key]!r}" for key, check in ROW.items() if not check(event[key]))
    if kind not in EVENT_TYPES and not str(kind).startswith("custom."):
        yield f"{kind}: not an event of the contract"
    yield from (f"{kind}: {key} is missing" for key in sorted(REQUIRED.get(str(kind), set()) - set(details)))
    if details.get("platform") == "" and (kind not in REFRESHES or details.get("attempt")):
        yield f"{kind}: details.platform=''"
    types = {**TYPES, **(HEALTH if kind == "auth_health_reported" else {})}
    for key, value in details.items():
        if key in types and not types[key](value):
            yield f"{kind}: details.{key}={value!r}"


def order_violations(events: Sequence[Event]) -> list[str]:
    """The same for the order of one deployment's events, given oldest first."""
    kinds = [event["event_type"] for event in events]
    told = [event for event in events if event["event_type"] in OF_A_PUSH]
    pushes = [event for event in told if event["details"].get("platform") != ""]
    platforms = {event["details"].get("platform") for event in pushes}
    found = [
        sentence for platform in sorted(map(str, platforms)) for sentence in _of_platform(pushes, platform)
    ]
    if "manifest_published" in kinds:
        published = kinds.index("manifest_published")
        found += [
            f"{kind} after manifest_published" for kind in kinds[published:] if kind.startswith("push_")
        ]
        if "start_started" in kinds[:published]:
            found.append("start_started before manifest_published")
        if "push_failed" in kinds:
            found.append("manifest_published although a push failed")
    return found


def _of_platform(pushes: Sequence[Event], platform: str) -> Iterable[str]:
    before: str | None = None
    for event in pushes:
        kind = event["event_type"]
        if str(event["details"].get("platform")) != platform:
            continue
        if kind not in FOLLOWS[before]:
            yield f"{platform}: {kind} after {before}"
        before = kind
    if before is not None and FOLLOWS[before]:
        yield f"{platform}: ends with {before}"
