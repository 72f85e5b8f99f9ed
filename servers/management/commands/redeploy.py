from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from servers import services
from servers.console import working
from servers.console.command import ServerCommand, deployment_of, operator, server_of
from servers.push_options import PushOptions
from servers.states import Mode, Trigger


class Command(ServerCommand):
    help = "Deploys a server again, from its source or from what was built."
    examples = """  manage.py redeploy hello --wait
  manage.py redeploy hello --mode no-cache --wait
  manage.py redeploy hello --mode resume --refresh-credentials --push-retries 6
  manage.py redeploy hello --mode resume --platform linux/arm64
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
            help="With --mode resume: build and push this platform anew, and take the others over.",
        )
        parser.add_argument(
            "--push-retries", type=int, metavar="N", help="Attempts of each push of this one deployment."
        )
        parser.add_argument(
            "--to", type=int, metavar="NUMBER", help="Roll back to this successful deployment."
        )
        working.add_arguments(parser)

    def act(self, **options: Any) -> None:
        server, by = server_of(options["slug"]), operator()
        if options["to"] is not None:
            deployment = services.roll_back(server=server, to=deployment_of(server, options["to"]), by=by)
        else:
            deployment = services.deploy(
                server=server,
                by=by,
                trigger=Trigger.COMMAND,
                mode=Mode(options["mode"]),
                options=_push_options(options),
            )
        working.finish(self, deployment, options)


def _push_options(options: dict[str, Any]) -> PushOptions:
    return PushOptions(options["refresh_credentials"], options["platform"], options["push_retries"])
