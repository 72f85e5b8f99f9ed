from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import transaction
from django.db.models import Model

import sealing
from access import audit
from cli.command import ServerCommand, operator
from sealing.fields import SealedField


class Command(ServerCommand):
    help = "Seals every secret again with the first of SECRET_ENCRYPTION_KEYS."
    examples = "  SECRET_ENCRYPTION_KEYS=<new>,<old> manage.py rotate_secrets"

    def act(self, **options: Any) -> None:
        with transaction.atomic():
            unreadable = _reseal_all()
            audit.record(action="secrets.sealed_anew", by=operator(), after={"not_opened": unreadable})
        if unreadable:
            raise CommandError(f"No key opens {', '.join(unreadable)}: set them anew.")
        self.stdout.write("Every secret is sealed with the first key now; the others can go.")


def _reseal_all() -> list[str]:
    return [
        what
        for model in apps.get_models()
        for field in model._meta.fields
        if isinstance(field, SealedField)
        for what in _reseal(model, field.name)
    ]


def _reseal(model: type[Model], name: str) -> list[str]:
    """Seals this column anew; returns the rows that no key opens."""
    rows, unreadable = model._default_manager, []
    for row in rows.all():
        sealed = getattr(row, name)
        if not sealed:
            continue
        try:
            rows.filter(**{"pk": row.pk, name: sealed}).update(**{name: sealing.reseal(bytes(sealed))})
        except sealing.Unsealable:
            server = getattr(row, "server", None)
            unreadable.append(f"{server.slug}/{row}" if server else str(row))
    return unreadable
