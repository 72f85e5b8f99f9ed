from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.contrib.auth.models import User

from access import audit
from cli.command import operator
from cli.terminal import ShownCommand


class Command(ShownCommand, changepassword.Command):
    """Django's command, with an audit entry. No transaction is open while somebody types a password."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        user = User.objects.filter(username=options["username"] or getpass.getuser())
        before = user.values_list("password", flat=True).first()
        said: str | None = super().handle(*args, **options)
        for changed in user.exclude(password=before):
            audit.record(action="user.password_set", target=changed, by=operator())
        return said
