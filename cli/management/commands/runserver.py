from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from daphne.management.commands import runserver
from django.conf import settings
from django.core.management.base import CommandParser

from cli.directories import make_directories
from cli.terminal import ShownCommand

logger = logging.getLogger(__name__)
WITH_BROKER = "in another terminal, `manage.py up --only worker --only reconciler`"
WITHOUT_BROKER = "`manage.py redeploy <slug> --here`; workers in processes of their own need BROKER_URL"


class Command(ShownCommand, runserver.Command):  # type: ignore[misc]  # daphne is untyped
    """daphne's command with the platform's port and logs. WhiteNoise serves static files, as with `up`."""

    help = "Serves console, API, live feeds and gateway with daphne, for development. It runs no deployments."
    default_port = str(settings.BIND_PORT)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(use_static_handler=False)

    def handle(self, *args: Any, **options: Any) -> None:
        make_directories()
        super().handle(*args, **options)

    def check_migrations(self) -> None:
        """Also tells how deployments get a worker: daphne's command prints the address right after this."""
        super().check_migrations()
        self.stdout.write(
            f"Deployments wait for a worker: {WITH_BROKER if settings.BROKER_URL else WITHOUT_BROKER}."
        )

    def log_action(self, protocol: str, action: str, details: Mapping[str, Any]) -> None:
        """Logs without query strings: they may hold a secret, such as the code of a single sign-on."""
        if (protocol, action) == ("http", "complete"):
            path = details["path"].partition("?")[0]
            logger.info("%s %s %s", details["method"], path, details["status"])
