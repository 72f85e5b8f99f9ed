from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from cli import working
from cli.command import ServerCommand, deployment_of, operator, server_of
from hosting.errors import Invalid
from servers import states
from servers.models import Deployment
from servers.runbooks import diagnosis
from servers.runbooks.diagnosis import Diagnosis
from servers.runbooks.remedies import REMEDIES
from servers.states import Trigger


class Command(ServerCommand):
    help = "Shows what failed, what it means and what to do about it; --do does it."
    examples = """  manage.py runbook weather
  manage.py runbook weather#4
  manage.py runbook weather#4 --do refresh-credentials --wait
  manage.py runbook weather --json"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "which",
            metavar="slug[#number]",
            help="A server, or one of its deployments; by default its newest one.",
        )
        parser.add_argument("--do", choices=list(REMEDIES), metavar="ACTION", help=", ".join(REMEDIES))
        working.add_arguments(parser)

    def act(self, **options: Any) -> None:
        deployment = _deployment(options["which"])
        if options["do"]:
            self._do(deployment, options)
            return
        found = diagnosis.diagnose(deployment)
        if options["json"]:
            self.put({"deployment": deployment.number, "diagnosis": asdict(found) if found else None})
        else:
            self.stdout.write("\n".join(_told(deployment, found)))

    def _do(self, deployment: Deployment, options: dict[str, Any]) -> None:
        made = diagnosis.perform(
            deployment=deployment, name=options["do"], by=operator(), trigger=Trigger.COMMAND
        )
        if made:
            working.finish(self, made, options)
        elif not options["json"]:
            self.stdout.write(f"{deployment}: {REMEDIES[options['do']].does}.")


def _deployment(which: str) -> Deployment:
    slug, _, number = which.partition("#")
    server = server_of(slug)
    if number:
        if not number.isdecimal():
            raise Invalid(f"“{number}” is not the number of a deployment.")
        found = deployment_of(server, int(number))
    else:
        newest = server.deployments.order_by("-number").first()
        if newest is None:
            raise Invalid(f"{slug} was not deployed yet.")
        found = newest
    found.server = server
    return found


def _told(deployment: Deployment, found: Diagnosis | None) -> Iterator[str]:
    if found is None:
        yield f"{deployment}: {states.look(deployment.status).label}. Nothing is wrong with it."
        return
    yield f"{found.what}: {found.title} ({found.name})"
    yield from (f"  {sentence}" for sentence in found.means)
    if found.first:
        yield f"First: {found.first}"
    for offer in found.offers:
        yield ""
        yield f"{offer.label}" + (f" – not now: {offer.refusal}" if offer.refusal else "")
        if not offer.refusal:
            yield from (f"  {sentence}" for sentence in offer.preview)
            yield f"  $ {offer.command}"
