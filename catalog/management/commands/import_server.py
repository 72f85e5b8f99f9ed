"""`manage.py import_server`: makes a server of a server.json."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from catalog import document, services
from catalog.services import Found
from cli import working
from cli.command import ServerCommand, operator
from servers.states import Trigger


class Command(ServerCommand):
    help = "Makes a server of a server.json (official MCP registry schema 2025-12-11) and deploys it."
    examples = """  manage.py import_server ./server.json --set units=metric --wait
  manage.py import_server https://example.org/server.json --secret API_KEY=- < key
  manage.py import_server io.github.user/weather@1.2.0 --package 1
  manage.py import_server ./server.json --with "pydantic<2.12" --python 3.12
  manage.py import_server ./server.json --questions      what it asks for"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "source", metavar="FILE|URL|NAME[@VERSION]", help="NAME is looked up at CATALOG_REGISTRY_URL."
        )
        parser.add_argument("--package", type=int, help="Which of its packages: 0 is the first.")
        parser.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", dest="given",
            help="An answer; again for another, or for a further value of a repeated one.",
        )  # fmt: skip
        parser.add_argument(
            "--secret", action="append", default=[], metavar="NAME=-",
            help="A secret answer: a line of the standard input each, in this order.",
        )  # fmt: skip
        parser.add_argument(
            "--with", action="append", default=[], metavar="REQUIREMENT", dest="beside",
            help="Of a PyPI package: bounds a dependency (mcp<2), or is installed too; again for another.",
        )  # fmt: skip
        parser.add_argument(
            "--python", default="", metavar="VERSION", help="Of a PyPI package, such as 3.12."
        )
        parser.add_argument("--name", default="", help="Shown to people.")
        parser.add_argument("--slug", default="", help="Part of the URL: /mcp/<slug>")
        parser.add_argument("--questions", action="store_true", help="Print what it asks for, and end.")
        parser.add_argument("--no-deploy", action="store_true")
        working.add_arguments(parser)

    def act(self, **options: Any) -> None:
        found = _found(options["source"])
        option = services.chosen(found.document, options["package"])
        if options["questions"]:
            self._tell_questions(option.questions, as_json=options["json"])
            self._tell_notes(option.notes, as_json=options["json"])
            return
        by = operator()
        if by.user is None:
            raise CommandError("There is no administrator yet: start the platform once with `make run`.")
        answers = {**_answers(options["given"]), **_secrets(options["secret"])}
        server, deployment = services.import_server(
            found=found, option=option, answers=answers, by=by, trigger=Trigger.COMMAND,
            name=options["name"], slug=options["slug"], deploy=not options["no_deploy"],
            build={"with": options["beside"], "python": options["python"]},
        )  # fmt: skip
        self._tell_notes(option.notes, as_json=options["json"])
        if deployment is not None:
            working.finish(self, deployment, options)
        elif options["json"]:
            self.put({"id": server.pk, "slug": server.slug})
        else:
            self.stdout.write(f"{server.slug} was made.")

    def _tell_notes(self, notes: Iterable[str], *, as_json: bool) -> None:
        """Prints which options of the launcher were read, and which are left out."""
        for note in notes:
            if as_json:
                self.put({"note": note})
            else:
                self.stdout.write(f"Note: {note}")

    def _tell_questions(self, questions: Iterable[Any], *, as_json: bool) -> None:
        for each in questions:
            about = {"name": each.key, "secret": each.secret, "required": each.required,
                     "default": each.default, "description": each.description}  # fmt: skip
            if as_json:
                self.put(about)
            else:
                marks = [word for word in ("required", "secret") if about[word]]
                self.stdout.write("  ".join(filter(None, [each.key, *marks, each.description])))


def _found(source: str) -> Found:
    if source.startswith(("https://", "http://")):
        return services.fetch(url=source)
    path = Path(source)
    if path.is_file():
        try:
            return Found(document.parse(path.read_bytes()))
        except OSError as error:
            raise CommandError(f"{source} cannot be read: {error.strerror}.") from error
    if source.count("/") == 1 and not source.endswith(".json"):
        name, _, version = source.partition("@")
        return services.look_up(name=name, version=version or "latest")
    raise CommandError(f"{source} is no file, no URL and no name such as io.github.user/weather.")


def _answers(given: Iterable[str]) -> dict[str, str | list[str]]:
    answers: dict[str, str | list[str]] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals:
            raise CommandError("--set needs NAME=VALUE.")  # not repeated: it may be a secret
        before = answers.get(name)
        answers[name] = (
            value if before is None else [*([before] if isinstance(before, str) else before), value]
        )
    return answers


def _secrets(given: Iterable[str]) -> dict[str, str]:
    answers = {}
    for pair in given:
        name, _, value = pair.partition("=")
        if value != "-":
            raise CommandError("--secret needs NAME=-: the value is read from the standard input.")
        answers[name] = sys.stdin.readline().rstrip("\r\n")
        if not answers[name]:
            raise CommandError(f"The standard input has no line for {name}.")
    return answers
