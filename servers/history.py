"""Says what changed of a server, for the audit: only the differences, in a form that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from access.models import AuditEntry
from servers.models import Server

Shown = dict[str, Any]


def changes(stored: Server, fields: Mapping[str, Any]) -> tuple[Shown, Shown]:
    """Returns the values before and after, of the `fields` that differ from the stored row.

    Of mappings, only the keys that differ are returned.
    """
    before: Shown = {}
    after: Shown = {}
    for name, new in fields.items():
        old = getattr(stored, name)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            old, new = _differing(old, new), _differing(new, old)
        before[name], after[name] = _shown(old), _shown(new)
    return before, after


def description(fields: Mapping[str, Any]) -> Shown:
    """Returns the fields of a new server without the empty ones."""
    return {name: _shown(value) for name, value in fields.items() if value not in (None, "", [], {})}


def last_set(server: Server) -> dict[str, AuditEntry]:
    """Returns the newest audit entry that set each variable of the environment, by the variable's name.

    A variable is missing if the audit does not go back that far.
    """
    kept = AuditEntry.objects.filter(server_id=server.pk, after__has_key="environment").order_by("id")
    newest = {name: entry for entry in kept for name in (entry.after or {})["environment"]}
    return {name: newest[name] for name in server.environment if name in newest}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> Shown:
    return {key: value for key, value in one.items() if key not in other or other[key] != value}


def _shown(value: Any) -> Any:
    return str(value) if isinstance(value, Model) else value
