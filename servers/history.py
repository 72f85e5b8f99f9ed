"""What of a server changed, as the audit shows it: only what differs, in words and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from access.models import AuditEntry
from servers.models import Server

Shown = dict[str, Any]


def changes(stored: Server, fields: Mapping[str, Any]) -> tuple[Shown, Shown]:
    """Before and after of the `fields` that differ from the stored row; of mappings the keys that differ."""
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
    """What a new server was given, but for what is empty."""
    return {name: _shown(value) for name, value in fields.items() if value not in (None, "", [], {})}


def last_set(server: Server) -> dict[str, AuditEntry]:
    """Who gave each variable of the environment its value, by name, as far back as the audit is kept."""
    kept = AuditEntry.objects.filter(server_id=server.pk, after__has_key="environment").order_by("id")
    newest = {name: entry for entry in kept for name in (entry.after or {})["environment"]}
    return {name: newest[name] for name in server.environment if name in newest}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> Shown:
    return {key: value for key, value in one.items() if key not in other or other[key] != value}


def _shown(value: Any) -> Any:
    return str(value) if isinstance(value, Model) else value
