"""GitHub: X-Hub-Signature-256, X-GitHub-Delivery (which a redelivery keeps), ping and push.

https://docs.github.com/webhooks/webhook-events-and-payloads#push
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hooks.providers import base
from hooks.push import Push, Verified

label = "GitHub"
PREFIX = "sha256="
MOST_COMMITS = 2048  # of a larger push the payload holds no more


def verified(headers: base.Headers, body: bytes, secrets: Sequence[str], now: float) -> Verified:
    given = headers.get("x-hub-signature-256", "")
    base.check_hex_hmac(given.removeprefix(PREFIX) if given.startswith(PREFIX) else "", body, secrets)
    event = headers.get("x-github-event", "")
    payload = base.payload_of(headers, body)
    push = push_of(payload) if event == "push" else None
    return Verified(base.delivery_id(headers, "x-github-delivery"), event, push, id_is_signed=False)


def push_of(payload: Mapping[str, Any]) -> Push:
    repository, commits = base.part(payload, "repository"), payload.get("commits")
    forced = payload.get("forced") is True
    complete = not forced and isinstance(commits, list) and len(commits) < MOST_COMMITS
    after, head = base.commit_of(payload, "after"), base.text(base.part(payload, "head_commit"), "id")
    return Push(
        ref=base.ref_of(payload),
        commit=head if after and base.is_commit(head) else after,  # `after` of an annotated tag is the tag
        before=base.commit_of(payload, "before"),
        paths=base.changed_paths(commits, complete=complete),
        sender=base.text(base.part(payload, "sender"), "login")
        or base.text(base.part(payload, "pusher"), "name"),
        repository=base.text(repository, "full_name"),
        urls=base.addresses(repository, "clone_url", "ssh_url", "git_url", "html_url"),
        default_branch=base.text(repository, "default_branch"),
        forced=forced,
        deleted=payload.get("deleted") is True or not after,
    )
