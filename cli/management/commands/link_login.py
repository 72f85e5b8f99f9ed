from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.db import IntegrityError, transaction

from access import audit
from access.sso import admission
from cli.command import ServerCommand, operator


class Command(ServerCommand):
    help = "Links a login at the OpenID provider to an existing account."
    examples = "  manage.py link_login alice 248289761001      both are on the page that refused the login"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("username")
        parser.add_argument("sub", help="The person's id at the provider: the claim `sub`.")

    def act(self, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if not settings.OIDC_ISSUER:
            raise CommandError("Single sign-on is not set up: set OIDC_ISSUER.")
        if user is None:
            raise CommandError(f"There is no user named {options['username']}.")
        try:
            with transaction.atomic():
                admission.link(user, options["sub"])
                audit.record(action="user.linked", by=operator(), target=user, after={"sub": options["sub"]})
        except IntegrityError as error:
            raise CommandError("This login is linked to another account already.") from error
        if options["json"]:
            self.put({"username": user.username, "sub": options["sub"]})
        else:
            self.stdout.write(f"This login is linked to the account {user.username} now.")
