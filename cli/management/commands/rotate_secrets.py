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
    help = "Encrypts every secret again with the first key of SECRET_ENCRYPTION_KEYS."
    examples = "  SECRET_ENCRYPTION_KEYS=<new>,<old> manage.py rotate_secrets"

    def act(self, **options: Any) -> None:
        with transaction.atomic():
            unreadable = _reseal_all()
            audit.record(action="secrets.sealed_anew", by=operator(), after={"not_opened": unreadable})
        if unreadable:
            raise CommandError(f"No key decrypts {', '.join(unreadable)}: set them again.")
        self.stdout.write("Every secret is encrypted with the first key now; the other keys can be removed.")


def _reseal_all() -> list[str]:
    return [
        what
        for model in apps.get_models()
        for field in model._meta.fields
        if isinstance(field, SealedField)
        for what in _reseal(model, field.name)
    ]


def _reseal(model: type[Model], name: str) -> list[str]:
    """Encrypts this column again; returns the rows that no key decrypts.

    A row that was changed meanwhile keeps its new value: it is sealed with the first key already.
    """
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
