from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from servers import secretbox
from servers.console.command import ServerCommand
from servers.models import Secret


class Command(ServerCommand):
    help = "Seals every secret again with the first of SECRET_ENCRYPTION_KEYS."
    examples = "  SECRET_ENCRYPTION_KEYS=<new>,<old> manage.py rotate_secrets"

    def act(self, **options: Any) -> None:
        unreadable = []
        for secret in Secret.objects.select_related("server"):
            try:
                Secret.objects.filter(pk=secret.pk, sealed=secret.sealed).update(
                    sealed=secretbox.reseal(bytes(secret.sealed))
                )
            except secretbox.Unreadable:
                unreadable.append(f"{secret.server.slug}/{secret.name}")
        if unreadable:
            raise CommandError(f"No key opens {', '.join(unreadable)}: set them anew.")
        self.stdout.write("Every secret is sealed with the first key now; the others can go.")
