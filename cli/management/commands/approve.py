from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from cli import working
from cli.command import ServerCommand, deployment_of, facts_of, operator, server_of
from hosting.errors import Conflict
from servers import approvals
from servers.models import Deployment, Server
from servers.states import DeploymentStatus, Trigger


class Command(ServerCommand):
    help = "Approves a deployment that waits because its tools changed, or declines it."
    examples = """  manage.py approve hello --wait
  manage.py approve hello --number 5 --decline"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug")
        parser.add_argument("--number", type=int, help="Of the deployment; by default the one that waits.")
        parser.add_argument(
            "--decline", action="store_true", help="Decline it instead: what it built is not served."
        )
        working.add_arguments(parser)

    def act(self, **options: Any) -> None:
        server = server_of(options["slug"])
        held = deployment_of(server, options["number"]) if options["number"] else _waiting(server)
        if not options["decline"]:
            made = approvals.approve(deployment=held, by=operator(), trigger=Trigger.COMMAND)
            working.finish(self, made, options)
            return
        declined = approvals.decline(deployment=held, by=operator())
        if options["json"]:
            self.put(facts_of(declined))
        else:
            self.stdout.write(f"{declined} was declined.")


def _waiting(server: Server) -> Deployment:
    found = server.deployments.filter(status=DeploymentStatus.HELD).order_by("-number").first()
    if found is None:
        raise Conflict(f"No deployment of {server.slug} waits for approval.")
    return found
