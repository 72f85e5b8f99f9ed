"""Gitea, Forgejo and Gogs: X-<forge>-Signature (bare hexadecimal), X-<forge>-Delivery, push.

They sign the JSON text, also where they send it as the field `payload` of a form: see Gitea's and Forgejo's
services/webhook/deliver.go and Gogs' internal/database/webhook.go. Each sends
the headers of those it came from too; Gogs only its own.
https://docs.gitea.com/usage/repository/webhooks and https://forgejo.org/docs/latest/user/webhooks/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hooks.providers import base
from hooks.push import TAG, NotSigned, Push, Verified

label = "Gitea, Forgejo, Gogs"
FORGES = ("forgejo", "gitea", "gogs")


def verified(headers: base.Headers, body: bytes, secrets: Sequence[str], now: float) -> Verified:
    content = _signed(headers, body, secrets)
    event, payload = _named(headers, "event"), base.payload_of(headers, body)
    delivery = base.delivery_id(headers, *(f"x-{forge}-delivery" for forge in FORGES))
    return Verified(delivery, event, _push(headers, event, payload), id_is_signed=False, content=content)


def _signed(headers: base.Headers, body: bytes, secrets: Sequence[str]) -> bytes:
    """What the signature covers: the JSON text, or the whole body, as their documentation has it."""
    given, content = _named(headers, "signature"), base.content_of(headers, body)
    try:
        base.check_hex_hmac(given, content, secrets)
    except NotSigned:
        base.check_hex_hmac(given, body, secrets)
        return body
    return content


def _named(headers: base.Headers, name: str) -> str:
    return next((found for forge in FORGES if (found := headers.get(f"x-{forge}-{name}"))), "")


def _push(headers: base.Headers, event: str, payload: Mapping[str, Any]) -> Push | None:
    """None too for the test delivery of an empty repository, whose `before` and `after` are zeros."""
    if event == "push":
        push = push_of(payload)
        return None if push.deleted and not push.before else push
    by_gogs = not any(headers.get(f"x-{forge}-event") for forge in ("forgejo", "gitea"))
    if event == "create" and by_gogs and payload.get("ref_type") == "tag":
        return _tag_of(payload)
    return None


def _tag_of(payload: Mapping[str, Any]) -> Push:
    """Gogs tells of a tag by `create` alone; the others send a push beside it."""
    ref = TAG + base.ref_of(payload).removeprefix(TAG)
    return push_of({**payload, "ref": ref, "after": payload.get("sha"), "before": "0" * 40})


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
        sender=_login(payload, "pusher") or _login(payload, "sender"),
        repository=base.text(repository, "full_name"),
        urls=base.addresses(repository, "clone_url", "ssh_url", "html_url"),
        default_branch=base.text(repository, "default_branch"),
        deleted=not after,
    )


def _login(payload: Mapping[str, Any], role: str) -> str:
    person = base.part(payload, role)
    return base.text(person, "login") or base.text(person, "username")
