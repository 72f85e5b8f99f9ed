from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.models import User

from access import audit, people
from cli.command import operator
from cli.terminal import ShownCommand


class Command(ShownCommand, createsuperuser.Command):
    """Django's command, with an audit entry. No transaction is open while somebody types a password."""

    def handle(self, *args: Any, **options: Any) -> None:
        by, last = operator(), User.objects.order_by("pk").last()
        super().handle(*args, **options)
        for made in User.objects.filter(is_superuser=True, pk__gt=last.pk if last else 0):
            facts = people.facts_of(made)
            audit.record(action="user.added", target=made, by=by, after=facts)
