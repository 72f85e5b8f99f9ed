from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.db import transaction

from access.actor import Actor
from cli import building, working
from cli.command import ServerCommand, deployment_of, operator, server_of
from hosting.errors import Invalid
from servers import services, validation
from servers.models import Deployment, Server
from servers.push_options import PushOptions
from servers.states import Mode, Trigger

BUILDING = (Mode.LATEST, Mode.REBUILD, Mode.NO_CACHE)


class Command(ServerCommand):
    help = "Deploys a server again, from its source or from what was built."
    examples = """  manage.py redeploy hello --wait
  manage.py redeploy hello --mode no-cache --wait
  manage.py redeploy hello --mode resume --refresh-credentials --push-retries 6
  manage.py redeploy hello --mode resume --platform linux/arm64
  manage.py redeploy hello --with 'mcp<2' --python 3.12 --wait
  manage.py redeploy hello --python '' --explain
  manage.py redeploy hello --to 4          roll back to deployment #4
  manage.py redeploy hello --here          nothing else is up: do the work here"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug")
        parser.add_argument("--mode", choices=[m.value for m in Mode], default=Mode.LATEST.value)
        parser.add_argument(
            "--refresh-credentials",
            action="store_true",
            help="Renew the registry's credentials before anything is pushed.",
        )
        parser.add_argument(
            "--platform",
            default="",
            metavar="OS/ARCH",
            help="With --mode resume: build and push this platform again, and reuse the others.",
        )
        parser.add_argument(
            "--push-retries", type=int, metavar="N", help="Attempts for each push of this deployment."
        )
        parser.add_argument(
            "--to", type=int, metavar="NUMBER", help="Roll back to this successful deployment."
        )
        building.add_arguments(parser)
        working.add_arguments(parser)

    def act(self, **options: Any) -> None:
        server = server_of(options["slug"])
        if options["explain"]:
            wanted = {"build": building.choices(options, server.build)}
            server.build = validation.with_build(wanted, server)["build"]
            building.explain(self, server, options)
            return
        with transaction.atomic():
            by = operator()
            _change(server, options, by)
            deployment = _deploy(server, options, by)
        working.finish(self, deployment, options)


def _change(server: Server, options: dict[str, Any], by: Actor) -> None:
    """Stores the build options. Raises `Invalid` if nothing will be built."""
    if not building.are_given(options):
        return
    if options["to"] is not None or options["mode"] not in BUILDING:
        raise Invalid("Build options need a mode that builds: latest, rebuild or no-cache.")
    fields = {"build": building.choices(options, server.build)}
    services.update_server(server=server, fields=fields, by=by)


def _deploy(server: Server, options: dict[str, Any], by: Actor) -> Deployment:
    if options["to"] is not None:
        return services.roll_back(server=server, to=deployment_of(server, options["to"]), by=by)
    return services.deploy(
        server=server,
        by=by,
        trigger=Trigger.COMMAND,
        mode=Mode(options["mode"]),
        options=_push_options(options),
    )


def _push_options(options: dict[str, Any]) -> PushOptions:
    return PushOptions(options["refresh_credentials"], options["platform"], options["push_retries"])
