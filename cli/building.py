"""The build options of `deploy` and `redeploy`, and the output of `--explain`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from cli.command import ServerCommand
from servers import explaining, plan_shown
from servers.models import Server, build_choices

# Option, the key of `Server.build` that it sets, what stands for its value, help.
_TEXTS = (
    ("--as", "ecosystem", "ECOSYSTEM", "python, node or dockerfile, for a source that is several of them."),
    ("--root", "root", "DIRECTORY", "Directory to install, from the top of the source."),
    ("--member", "member", "NAME", "The part of a workspace to start: its directory or its name."),
    ("--python", "python", "VERSION", "3.12, or a range such as >=3.11,<3.13."),
    ("--node", "node", "VERSION", "22, or 22.11."),
    ("--build", "build", "COMMAND", "Command to run once after the installation."),
    ("--dockerfile", "dockerfile", "FILE", "From the top of the source; its context is --root."),
    ("--target", "target", "STAGE", "The stage of the Dockerfile to build."),
)
_LISTS = (
    (
        "--extra",
        "extras",
        "NAME",
        "Optional dependencies. This option and the next three may be given several times.",
    ),
    ("--group", "groups", "NAME", "A dependency group, in addition to the default ones."),
    ("--with", "with", "REQUIREMENT", "An additional Python requirement; it also limits versions: mcp<2."),
    ("--build-arg", "arguments", "NAME=VALUE", "A build argument of the Dockerfile."),
)


def add_arguments(parser: ArgumentParser) -> None:
    group = parser.add_argument_group(
        "build options", "Detected from the source if not given. An empty value removes what was set."
    )
    for option, key, value, text in _TEXTS:
        group.add_argument(option, dest=_dest(key), metavar=value, help=text)
    for option, key, value, text in _LISTS:
        group.add_argument(option, dest=_dest(key), action="append", metavar=value, help=text)
    group.add_argument(
        "--explain",
        action="store_true",
        help="Fetch the source, print the build plan and the reasons for it, and do nothing else.",
    )


def choices(options: Mapping[str, Any], held: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The new `build`: `held` with what the options change. Raises `CommandError`, `ValidationError`."""
    given = {key: options[_dest(key)] for _, key, *_ in (*_TEXTS, *_LISTS)}
    named = {key: _value(key, value) for key, value in given.items() if value is not None}
    return build_choices.clean({**(held or {}), **named})


def are_given(options: Mapping[str, Any]) -> bool:
    return any(options[_dest(key)] is not None for _, key, *_ in (*_TEXTS, *_LISTS))


def explain(
    command: ServerCommand, server: Server, options: Mapping[str, Any], archive: Path | None = None
) -> None:
    """Prints the plan, of `archive` if one is given. Raises `UserError` if nothing is detected."""
    plan = explaining.explain(server, archive)
    if options["json"]:
        command.put(plan)
        return
    for fact in plan_shown.facts(plan):
        command.stdout.write(f"{fact.name:<11}{fact.words}" + (f"  ({fact.origin})" if fact.by_hand else ""))
    for sentence in plan_shown.why(plan):
        command.stdout.write(f"Why        {sentence}")


def _dest(key: str) -> str:
    return f"build_{key}"


def _value(key: str, value: Any) -> Any:
    if isinstance(value, str):
        return value
    items = [item for item in value if item]
    return dict(map(_argument, items)) if key == "arguments" else items


def _argument(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError("--build-arg takes NAME=VALUE.")
    return name, value
