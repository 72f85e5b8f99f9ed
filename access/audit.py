"""Writes the audit: one entry for each change, in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from access.actor import Actor
from access.models import AuditEntry
from redaction.redactor import Redactor
from redaction.rules import MASK, is_secret_name

_redact = Redactor()


def record(
    *,
    action: str,
    by: Actor,
    target: Model | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Writes an entry: `server.changed`, `token.revoked` …, with the fields that changed.

    Pass the name of a secret, never its value. Texts that look like a secret are masked in any case.
    """
    return AuditEntry.objects.create(
        by=by.user,
        actor=by.user.get_username() if by.user else "",
        via=by.via,
        token=str(by.token or "")[:120],
        address=by.address,
        action=action,
        target_kind=target._meta.model_name or "" if target else "",
        target_id=target.pk if target else None,
        target=str(target)[:200] if target else "",
        server_id=_server_id(target),
        before=masked(before) if before is not None else None,
        after=masked(after) if after is not None else None,
    )


def _server_id(target: Model | None) -> int | None:
    """Returns the id of the server concerned.

    This package does not import servers, so it compares the label.
    """
    if target is not None and target._meta.label_lower == "servers.server":
        return int(target.pk)
    return getattr(target, "server_id", None)


def masked(value: Any, name: str = "") -> Any:
    """Returns the value in a form for JSON; texts whose name or form is that of a secret are masked."""
    if isinstance(value, str) and value and is_secret_name(name):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): masked(held, str(key)) for key, held in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [masked(held) for held in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _redact(str(value))
