from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from cli import working
from cli.command import ServerCommand, operator, server_of
from servers import services
from servers.states import Trigger


class Command(ServerCommand):
    help = "Starts a stopped server from what was built last."
    examples = "  manage.py start hello --wait"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug")
        working.add_arguments(parser)

    def act(self, **options: Any) -> None:
        deployment = services.start(server=server_of(options["slug"]), by=operator(), trigger=Trigger.COMMAND)
        working.finish(self, deployment, options)
