"""Gitea and Forgejo: X-Gitea-Signature (bare hexadecimal), X-Gitea-Delivery, push.

https://docs.gitea.com/usage/repository/webhooks and https://forgejo.org/docs/latest/user/webhooks/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hooks.providers import base
from hooks.push import Push, Verified

label = "Gitea, Forgejo"


def verified(headers: base.Headers, body: bytes, secrets: Sequence[str], now: float) -> Verified:
    base.check_hex_hmac(_named(headers, "signature"), body, secrets)
    event, payload = _named(headers, "event"), base.payload_of(headers, body)
    push = push_of(payload) if event == "push" else None
    delivery = base.delivery_id(headers, "x-forgejo-delivery", "x-gitea-delivery")
    return Verified(delivery, event, push, id_is_signed=False)


def _named(headers: base.Headers, name: str) -> str:
    return headers.get(f"x-forgejo-{name}") or headers.get(f"x-gitea-{name}", "")


def push_of(payload: Mapping[str, Any]) -> Push:
    repository, commits = base.part(payload, "repository"), payload.get("commits")
    total = payload.get("total_commits")
    complete = isinstance(commits, list) and isinstance(total, int) and total <= len(commits)
    after = base.commit_of(payload, "after")
    return Push(
        ref=base.ref_of(payload),
        commit=after,
        before=base.commit_of(payload, "before"),
        paths=base.changed_paths(commits, complete=complete),
        sender=base.text(base.part(payload, "pusher"), "login")
        or base.text(base.part(payload, "sender"), "login"),
        repository=base.text(repository, "full_name"),
        urls=base.addresses(repository, "clone_url", "ssh_url", "html_url"),
        default_branch=base.text(repository, "default_branch"),
        deleted=not after,
    )
