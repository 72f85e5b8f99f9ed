"""Deliveries as the forges send them, signed by an implementation that is not the platform's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

BEFORE = "28e1879d029cb852e4844d9c718537df08844e03"
AFTER = "bffeb74224043ba2feb48d137756c8a9331c449a"
NONE = "0" * 40


def hex_hmac(secret: str, body: bytes) -> str:
    """RFC 2104, written out."""
    key = secret.encode()
    key = hashlib.sha256(key).digest() if len(key) > 64 else key
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + body).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).hexdigest()


def standard(secret: str, body: bytes, at: float, message_id: str = "msg_1") -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = base64.b64encode(hmac.new(key, f"{message_id}.{int(at)}.".encode() + body, "sha256").digest())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": f"v1,{signed.decode()}",
    }


def commit(**paths: list[str]) -> dict[str, Any]:
    return {"id": AFTER, "message": "Update", "added": [], "removed": [], "modified": [], **paths}


def github(**changes: Any) -> dict[str, Any]:
    return {
        "ref": "refs/heads/main",
        "before": BEFORE,
        "after": AFTER,
        "repository": {
            "id": 186853002,
            "full_name": "octo/hello",
            "html_url": "https://github.com/octo/hello",
            "git_url": "git://github.com/octo/hello.git",
            "ssh_url": "git@github.com:octo/hello.git",
            "clone_url": "https://github.com/octo/hello.git",
            "default_branch": "main",
        },
        "pusher": {"name": "octocat", "email": "octocat@example.org"},
        "sender": {"login": "octocat", "id": 21031067},
        "created": False,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "compare": f"https://github.com/octo/hello/compare/{BEFORE[:12]}...{AFTER[:12]}",
        "commits": [commit(added=["src/new.py"], modified=["README.md"])],
        "head_commit": commit(added=["src/new.py"], modified=["README.md"]),
        **changes,
    }


def gitlab(**changes: Any) -> dict[str, Any]:
    return {
        "object_kind": "push",
        "event_name": "push",
        "before": BEFORE,
        "after": AFTER,
        "ref": "refs/heads/main",
        "checkout_sha": AFTER,
        "user_username": "jsmith",
        "project": {
            "path_with_namespace": "octo/hello",
            "web_url": "https://gitlab.example.com/octo/hello",
            "git_ssh_url": "git@gitlab.example.com:octo/hello.git",
            "git_http_url": "https://gitlab.example.com/octo/hello.git",
            "default_branch": "main",
        },
        "commits": [commit(modified=["src/app.py"])],
        "total_commits_count": 1,
        **changes,
    }


def gitea(**changes: Any) -> dict[str, Any]:
    return {
        "ref": "refs/heads/main",
        "before": BEFORE,
        "after": AFTER,
        "compare_url": "https://git.example.com/octo/hello/compare/a...b",
        "commits": [commit(modified=["src/app.py"])],
        "total_commits": 1,
        "repository": {
            "full_name": "octo/hello",
            "html_url": "https://git.example.com/octo/hello",
            "ssh_url": "ssh://git@git.example.com:2222/octo/hello.git",
            "clone_url": "https://git.example.com/octo/hello.git",
            "default_branch": "main",
        },
        "pusher": {"login": "gitea"},
        "sender": {"login": "gitea"},
        **changes,
    }


def generic(**changes: Any) -> dict[str, Any]:
    return {
        "ref": "refs/heads/main",
        "commit": AFTER,
        "before": BEFORE,
        "paths": ["src/app.py"],
        "repository": "https://git.example.com/octo/hello.git",
        "default_branch": "main",
        "sender": "ada",
        **changes,
    }


def as_body(payload: Any) -> bytes:
    return json.dumps(payload).encode()


def github_headers(
    secret: str, body: bytes, delivery: str = "72d3162e-cc78", event: str = "push"
) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "x-github-delivery": delivery,
        "x-github-event": event,
        "x-hub-signature-256": f"sha256={hex_hmac(secret, body)}",
    }


def gitlab_headers(token: str, delivery: str = "d2f1", event: str = "Push Hook") -> dict[str, str]:
    return {
        "content-type": "application/json",
        "x-gitlab-event": event,
        "x-gitlab-token": token,
        "x-gitlab-event-uuid": "13792a34-cac6-4fda-95a8-c58e00a3954e",
        "idempotency-key": delivery,
    }


def gitea_headers(
    secret: str, body: bytes, delivery: str = "f6266f16-1bf3", event: str = "push"
) -> dict[str, str]:
    signed = hex_hmac(secret, body)
    return {
        "content-type": "application/json",
        "x-gitea-delivery": delivery,
        "x-gitea-event": event,
        "x-gitea-signature": signed,
        "x-github-delivery": delivery,
        "x-github-event": event,
        "x-hub-signature-256": f"sha256={signed}",
    }


FORM = "application/x-www-form-urlencoded"


def as_form(body: bytes) -> bytes:
    return urlencode({"payload": body.decode()}).encode()


def forgejo_headers(
    secret: str, body: bytes, delivery: str = "f6266f16", event: str = "push"
) -> dict[str, str]:
    """Its own and those of Gitea and Gogs, as Forgejo sends them."""
    signed = hex_hmac(secret, body)
    own = {
        f"x-{forge}-{name}": value
        for forge in ("forgejo", "gitea", "gogs")
        for name, value in (("delivery", delivery), ("event", event), ("signature", signed))
    }
    return {**gitea_headers(secret, body, delivery, event), **own}


def gogs_headers(secret: str, body: bytes, delivery: str = "c9d0", event: str = "push") -> dict[str, str]:
    """Gogs signs for no forge but itself."""
    return {
        "content-type": "application/json",
        "x-github-delivery": delivery,
        "x-github-event": event,
        "x-gogs-delivery": delivery,
        "x-gogs-event": event,
        "x-gogs-signature": hex_hmac(secret, body),
    }
