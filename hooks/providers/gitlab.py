"""GitLab: a secret token in X-Gitlab-Token, or a signing token, which signs as Standard Webhooks does.

Idempotency-Key stays the same when a request is sent again; older versions have X-Gitlab-Event-UUID only.
https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from hooks.providers import base
from hooks.push import NotSigned, Push, Stale, Verified
from notices import signing

label = "GitLab"
PUSHES = ("push", "tag_push")


def verified(headers: base.Headers, body: bytes, secrets: Sequence[str], now: float) -> Verified:
    if headers.get(signing.SIGNATURE):
        _check_signature(headers, body, secrets, now)
    else:
        _check_token(headers.get("x-gitlab-token", ""), secrets)
    payload = base.payload_of(headers, body)
    event = base.text(payload, "object_kind") or headers.get("x-gitlab-event", "")
    push = push_of(payload) if event in PUSHES else None
    return Verified(base.delivery_id(headers, "idempotency-key", "x-gitlab-event-uuid"), event, push)


def _check_signature(headers: base.Headers, body: bytes, secrets: Sequence[str], now: float) -> None:
    # A signing token may be used as it stands, whatever its prefix, or decoded.
    keys = [key for secret in secrets for key in (signing.key_of(secret), secret.encode())]
    if not signing.is_signed(headers, body, keys):
        raise NotSigned("No secret of this webhook made the signature.")
    if not signing.is_fresh(headers, now):
        raise Stale("It was signed too long ago, or the clocks differ.")


def _check_token(given: str, secrets: Sequence[str]) -> None:
    matches = [hmac.compare_digest(given.encode(), secret.encode()) for secret in secrets]
    if not any(matches):
        raise NotSigned("The token is not that of this webhook.")


def push_of(payload: Mapping[str, Any]) -> Push:
    project, commits = base.part(payload, "project"), payload.get("commits")
    total = payload.get("total_commits_count")
    complete = isinstance(commits, list) and isinstance(total, int) and total <= len(commits)
    after, before = base.commit_of(payload, "after"), base.commit_of(payload, "before")
    # `after` of an annotated tag is the tag; what is checked out is its commit.
    checkout = payload.get("checkout_sha") and base.commit_of(payload, "checkout_sha")
    return Push(
        ref=base.ref_of(payload),
        commit=checkout or after,
        before=before,
        paths=base.changed_paths(commits, complete=complete),
        sender=base.text(payload, "user_username") or base.text(payload, "user_name"),
        repository=base.text(project, "path_with_namespace"),
        urls=base.addresses(project, "git_http_url", "git_ssh_url", "web_url"),
        default_branch=base.text(project, "default_branch"),
        deleted=not after,
    )
