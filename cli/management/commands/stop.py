from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from cli.command import ServerCommand, operator, server_of
from servers import services
from servers.deploying import reconciler
from servers.models import Server
from servers.states import ServerStatus


class Command(ServerCommand):
    help = "Stops a server. What was built is kept, so that it starts again quickly."
    examples = """  manage.py stop hello --wait
  manage.py stop hello --here              nothing else is up: do the work here"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug")
        parser.add_argument("--wait", action="store_true", help="Wait until it is stopped.")
        parser.add_argument("--here", action="store_true", help="Do the work in this command.")

    def act(self, **options: Any) -> None:
        server = server_of(options["slug"])
        services.stop(server=server, by=operator())
        if options["here"]:
            reconciler.settle(server.pk)
        if options["here"] or options["wait"]:
            _await_stopped(server)
        server.refresh_from_db()
        if options["json"]:
            self.put({"slug": server.slug, "status": server.status})
        else:
            self.stdout.write(f"{server.slug} is {server.status}.")


def _await_stopped(server: Server) -> None:
    end = time.monotonic() + settings.STOP_GRACE_SECONDS + 30
    while time.monotonic() < end:
        server.refresh_from_db()
        if server.status == ServerStatus.STOPPED:
            return
        time.sleep(0.2)
    raise CommandError(f"{server.slug} is still {server.status}. Is `manage.py up` running? See --here.")
