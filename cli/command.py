from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DatabaseError

from access.actor import Actor
from access.models import Via
from cli.terminal import ShownCommand
from hosting.errors import Invalid, UserError
from servers.models import Deployment, Server


class ServerCommand(ShownCommand):
    """A command with examples in its help and the option `--json`. Subclasses implement `act`.

    An error becomes one line on stderr and exit code 1.
    """

    examples: ClassVar[str] = ""
    requires_system_checks = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name,
            subcommand,
            epilog=f"examples:\n{self.examples}",
            formatter_class=RawDescriptionHelpFormatter,
            **kwargs,
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print JSON, one document or one per line.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.act(**options)
        except (UserError, ValidationError) as error:
            raise CommandError(one_line(error)) from error
        except DatabaseError as error:
            said = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise CommandError(f"The database cannot be used: {said} (--traceback shows where.)") from error
        except BrokenPipeError:
            raise SystemExit(0) from None

    def act(self, **options: Any) -> None:
        raise NotImplementedError

    def put(self, value: object) -> None:
        self.stdout.write(json.dumps(value, default=str).replace("\x7f", "\\u007f"))


def one_line(error: UserError | ValidationError) -> str:
    if isinstance(error, UserError):
        return str(error)
    if hasattr(error, "error_dict"):
        parts = [f"{name}: {' '.join(messages)}" for name, messages in error.message_dict.items()]
        return "; ".join(parts)
    return " ".join(error.messages)


def server_of(slug: str) -> Server:
    server = Server.objects.with_current().filter(slug=slug).first()
    if server is None:
        known = ", ".join(Server.objects.order_by("slug").values_list("slug", flat=True)[:10]) or "none yet"
        raise CommandError(f"There is no server “{slug}”. Servers: {known}.")
    return server


def operator() -> Actor:
    """The actor of a command: the first administrator. Its `user` is None before there is one."""
    return Actor(User.objects.filter(is_superuser=True).order_by("pk").first(), Via.COMMAND)


def deployment_of(server: Server, number: int) -> Deployment:
    found = Deployment.objects.filter(server=server, number=number).first()
    if found is None:
        raise Invalid(f"{server.slug} has no deployment #{number}.")
    return found


def facts_of(deployment: Deployment) -> dict[str, object]:
    return {
        "id": deployment.pk,
        "server": deployment.server.slug,
        "number": deployment.number,
        "status": deployment.status,
        "revision": deployment.build.revision,
        "digest": deployment.build.digest,
        "error_kind": deployment.error_kind,
        "error": deployment.error,
    }
