"""Anything that can sign as Standard Webhooks does: webhook-id, webhook-timestamp, webhook-signature.

The body is a JSON object, and every key may be left out: `ref` (refs/heads/main), `commit`, `before`, `paths`
(list of changed paths), `repository` (a URL), `default_branch`, `sender`. `{}` asks for the newest state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hooks.providers import base
from hooks.push import MOST_PATHS, Malformed, NotSigned, Push, Stale, Verified
from notices import signing

label = "Generic (Standard Webhooks)"


def verified(headers: base.Headers, body: bytes, secrets: Sequence[str], now: float) -> Verified:
    if not signing.is_signed(headers, body, [signing.key_of(secret) for secret in secrets]):
        raise NotSigned("No secret of this webhook made the signature.")
    if not signing.is_fresh(headers, now):
        raise Stale("It was signed too long ago, or the clocks differ.")
    payload = base.payload_of(headers, body or b"{}")
    event = base.text(payload, "type", 40) or "push"
    return Verified(base.delivery_id(headers, signing.ID), event, push_of(payload))


def push_of(payload: Mapping[str, Any]) -> Push:
    after = base.commit_of(payload, "commit") if payload.get("commit") else ""
    repository = base.text(payload, "repository", 500)
    return Push(
        ref=base.ref_of(payload) if payload.get("ref") else "",
        commit=after,
        before=base.commit_of(payload, "before") if payload.get("before") else "",
        paths=_paths(payload.get("paths")),
        sender=base.text(payload, "sender", 100),
        repository=repository,
        urls=(repository,) if repository else (),
        default_branch=base.text(payload, "default_branch"),
        deleted=bool(payload.get("commit")) and not after,
    )


def _paths(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(path, str) for path in given):
        raise Malformed("“paths” is not a list of paths.")
    return tuple(given) if len(given) <= MOST_PATHS else None
