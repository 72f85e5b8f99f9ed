"""`manage.py deploy --paste`: adds the server that a text from a README describes."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError

from access.actor import Actor
from cli import building, working
from cli.command import ServerCommand
from servers import intake, services, validation
from servers.models import Server
from servers.paste import LARGEST, Candidate, read
from servers.states import Trigger


def add_arguments(parser: ArgumentParser, source: Any) -> None:
    """`source` is the parser's group of options that name a source, of which one is required."""
    source.add_argument(
        "--paste", metavar="TEXT|FILE|-",
        help="Text of a README: a command (npx, uvx, docker run), a block of mcpServers, a `claude mcp "
        "add` line, a repository, a package, an image, a server.json. SLUG may be left out; --env NAME takes "
        "the value from this command's own environment.",
    )  # fmt: skip
    parser.add_argument(
        "--pick", default="", metavar="NAME", help="Which server of --paste, where there are several."
    )


def deploy(command: ServerCommand, by: Actor, options: Mapping[str, Any]) -> None:
    """Prints what was read, adds the server and deploys it. Raises `CommandError`, `UserError`.

    A text that names a `server.json` goes to the command `import_server`.
    """
    candidate = _chosen(_text(options["paste"]), options["pick"])
    given = _given(options["env"])
    if candidate.kind == "document":
        _import(candidate, given, options)
        return
    _check(candidate, given)
    if not options["json"]:
        command.stdout.write("\n".join([*candidate.read, *candidate.unknown]))
    secrets = _secrets(candidate, given)
    fields = _fields(candidate, {k: v for k, v in given.items() if k not in secrets}, options)
    if options["explain"]:
        building.explain(command, Server(owner=by.person, **validation.with_build(fields)), options, None)
        return
    _, deployment = intake.create(
        by=by,
        fields=fields,
        trigger=Trigger.COMMAND,
        secrets=secrets,
        token=candidate.token,
    )
    assert deployment
    working.finish(command, deployment, options)


def _text(given: str) -> str:
    """The content of the standard input for `-`, of the file if `given` names one, else `given` itself."""
    if given == "-":
        return sys.stdin.read(LARGEST + 1)
    if "\n" not in given and len(given.encode(errors="replace")) < 256 and Path(given).is_file():
        try:
            with Path(given).open(encoding="utf-8", errors="replace") as file:
                return file.read(LARGEST + 1)
        except OSError as error:
            raise CommandError(f"{given} cannot be read: {error.strerror}.") from error
    return given


def _chosen(text: str, pick: str) -> Candidate:
    reading = read(text)
    chosen = reading.picked(pick)
    if chosen is None:
        names = ", ".join(each.name for each in reading.candidates)
        if not names:
            raise CommandError(" ".join(reading.notes))
        raise CommandError(f"The text describes these servers: {names}. Choose one with --pick NAME.")
    if not chosen.hostable:
        raise CommandError(f"{chosen.name} cannot be hosted. {chosen.why_not}")
    return chosen


def _given(pairs: Iterable[str]) -> dict[str, str]:
    """NAME=value, or NAME alone: its value is that of this process."""
    lines = [pair if "=" in pair else f"{pair}={_own(pair)}" for pair in pairs]
    return validation.parse_environment("\n".join(lines))


def _own(name: str) -> str:
    if name not in os.environ:
        raise CommandError("--env needs NAME=VALUE, or the NAME of a variable of this command's environment.")
    return os.environ[name]


def _check(candidate: Candidate, given: Mapping[str, str]) -> None:
    missing = [each.name for each in candidate.asked if each.required and not given.get(each.name)]
    if missing:
        raise CommandError(f"{candidate.name} needs {', '.join(missing)}: give --env NAME=VALUE for each.")
    if candidate.gaps:
        raise CommandError(
            f"Replace {', '.join(candidate.gaps)} in the text with real values, and paste it again."
        )


def _secrets(candidate: Candidate, given: Mapping[str, str]) -> dict[str, str]:
    asked = {each.name for each in candidate.asked} | set(candidate.sealed)
    return {**candidate.sealed, **{name: value for name, value in given.items() if name in asked}}


def _fields(candidate: Candidate, given: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, Any]:
    read = candidate.fields()
    kind = str(candidate.kind)
    told = {
        "name": options["name"],
        "slug": options["slug"] or intake.free_slug(options["name"] or candidate.name),
        "transport": options["transport"] or candidate.transport or services.default_transport(kind),
        "port": candidate.port or options["port"],
        "path": candidate.path or options["path"],
        "runtime": options["runtime"],
        "command": validation.parse_words(options["command"]),
    }
    read |= {key: value for key, value in told.items() if value}
    read["source"] = validation.clean_source(kind, read["source"])
    environment = {k: v for k, v in candidate.environment.items() if k not in given}
    read["build"] = building.choices(options, candidate.build)
    return {**read, "environment": validation.clean_environment({**environment, **given})}


def _import(candidate: Candidate, given: Mapping[str, str], options: Mapping[str, Any]) -> None:
    """Calls the catalog's command `import_server`, which knows the questions of a `server.json`."""
    source = candidate.source
    words = [f"--set={name}={value}" for name, value in given.items()]
    told = {key: options[key] or "" for key in ("name", "slug")}
    told |= {key: options[key] for key in ("json", "wait", "here")}
    if "document" not in source:
        place = source.get("url") or f"{source['name']}@{source['version']}"
        call_command("import_server", str(place), *words, **told)
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(source["document"], file)
        file.flush()
        call_command("import_server", file.name, *words, **told)
