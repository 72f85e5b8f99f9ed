"""Recorded events of two deployments: one that was pushed after trouble, one that failed at every step."""

from __future__ import annotations

from typing import Any

ENDPOINT = "registry.example.org:5000/team/server"
DIGEST = "sha256:" + "0123456789abcdef" * 4
AMD, ARM = "linux/amd64", "linux/arm64"
Sample = tuple[str, dict[str, Any]]


def stream(platform: str, attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"registry_endpoint": ENDPOINT, "platform": platform, "attempt": attempt, "retry_limit": 3, **more}


def failure(kind: str, *, expired: bool = False) -> dict[str, Any]:
    return {"error": f"{kind}: it did not work", "error_kind": kind, "auth_expired": expired}


def tag(platform: str) -> dict[str, Any]:
    return {"registry_endpoint": ENDPOINT, "platform": platform, "tag": "d1-" + platform.partition("/")[2]}


def health(status: str, **more: Any) -> dict[str, Any]:
    return {
        "registry_endpoint": ENDPOINT,
        "status": status,
        "source": "config.json",
        "refreshed": False,
        **more,
    }


CALL = {
    "method": "tools/call", "name": "read_file", "era": "modern", "protocol_version": "2026-07-28",
    "client": "probe 1.2", "token": "mcph_a1b2c3d", "outcome": "tool_error", "status": 200,
    "duration_ms": 21, "first_byte_ms": 20, "bytes_in": 120, "bytes_out": 340, "sse_messages": 2,
    "cold_start": False,
}  # fmt: skip
PUBLISHED = {
    "registry_endpoint": ENDPOINT,
    "tag": "d1",
    "digest": DIGEST,
    "architectures": [AMD, ARM],
    "duration_ms": 48,
}
UNPUBLISHED = {key: value for key, value in PUBLISHED.items() if key != "digest"}
SECRET = {"secret": "pull", "namespace": "hosted", "duration_ms": 60}
AHEAD = stream("", 0)
PUSHED: list[Sample] = [
    ("deploy_started", {"number": 1}),
    ("clone_started", {}),
    ("clone_succeeded", {"duration_ms": 12}),
    *((f"build_{word}", {"platform": p, **extra}) for p in (AMD, ARM) for word, extra in (
        ("started", {}), ("succeeded", {"duration_ms": 900}))),
    ("auth_refresh_started", AHEAD),
    ("auth_refresh_succeeded", {**AHEAD, "duration_ms": 310}),
    ("tag_started", tag(AMD)),
    ("tag_started", tag(ARM)),
    ("tag_succeeded", {**tag(AMD), "duration_ms": 4}),
    ("tag_succeeded", {**tag(ARM), "duration_ms": 4}),
    ("push_started", stream(AMD)),
    ("push_started", stream(ARM)),
    ("auth_refresh_started", stream(AMD)),
    ("auth_refresh_succeeded", stream(AMD, duration_ms=310)),
    ("push_retry", stream(AMD, reason="auth_refresh", **failure("auth_expired", expired=True))),
    ("push_retry", stream(ARM, reason="retryable_error", **failure("push"))),
    ("push_succeeded", stream(ARM, 2, digest=DIGEST, duration_ms=5)),
    ("push_succeeded", stream(AMD, 2, digest=DIGEST, duration_ms=5)),
    ("manifest_published", PUBLISHED),
    ("start_started", {}),
    ("start_succeeded", {"duration_ms": 3}),
    ("health_started", {}),
    ("health_succeeded", {"duration_ms": 3}),
    ("discover_started", {}),
    ("discover_succeeded", {"duration_ms": 3}),
    ("deploy_succeeded", {"duration_ms": 6000}),
]  # fmt: skip
FAILED: list[Sample] = [
    ("tag_started", tag(ARM)),
    ("push_failed", stream(ARM, 0, duration_ms=3, **failure("tag"))),
    ("tag_started", tag(AMD)),
    ("tag_succeeded", {**tag(AMD), "duration_ms": 4}),
    ("push_started", stream(AMD)),
    ("auth_refresh_started", stream(AMD)),
    ("auth_refresh_failed", stream(AMD, duration_ms=92, **failure("auth_expired", expired=True))),
    ("push_failed", stream(AMD, duration_ms=640, **failure("auth_expired", expired=True))),
    ("manifest_failed", {**UNPUBLISHED, **failure("remote")}),
    *((f"{step}_failed", {"duration_ms": 1, "error": "no", "error_kind": "runtime"}) for step in (
        "clone", "build", "start", "health", "discover", "stop", "rollback", "deploy")),
    ("stop_started", {}),
    ("stop_succeeded", {"duration_ms": 1}),
    ("rollback_started", {}),
    ("rollback_succeeded", {"duration_ms": 1}),
    ("pull_secret_patched", {**SECRET, "changed": True}),
    ("pull_secret_failed", {**SECRET, "error": "no", "error_kind": "runtime"}),
    ("auth_health_reported", health("expired", seconds=-720, age_seconds=43_920)),
    ("deploy_cancelled", {"number": 1, "duration_ms": 1, "error": "no", "error_kind": "cancelled"}),
    ("server_restarted", {}),
    ("server_restart_failed", {"number": 1, "duration_ms": 1, "error": "no", "error_kind": "runtime"}),
    ("schema_changed", {}),
    ("deploy_held", {"number": 1, "duration_ms": 1}),
    ("schema_approved", {}),
    ("schema_declined", {}),
    ("mcp_call", CALL),
]  # fmt: skip
