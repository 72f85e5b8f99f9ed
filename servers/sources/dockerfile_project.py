"""A source that brings a Dockerfile of its own: it is built as its author builds it."""

from __future__ import annotations

from servers.errors import SourceError
from servers.sources import manifests
from servers.sources.base import BuildContext
from servers.sources.plan import Choices, Plan

NAME = "Dockerfile"


def is_one(context: BuildContext, choices: Choices) -> bool:
    return bool(choices.dockerfile) or manifests.has(context.path, NAME)


def plan(context: BuildContext, choices: Choices) -> Plan:
    """The context is `choices.root`, else where the server lies. Raises `SourceError`."""
    beside_server = "/".join(filter(None, (context.subdirectory, NAME)))
    dockerfile = choices.dockerfile or beside_server
    if not manifests.has(context.top, dockerfile):
        raise SourceError(
            f"The source has no file {dockerfile}.",
            hint="The path of the Dockerfile starts at the top of the source.",
        )
    root = manifests.directory(context.top, choices.root) if choices.root else context.subdirectory
    found = "was set by hand" if choices.dockerfile else "found"
    return Plan(
        "dockerfile",
        command=choices.command,
        root=root,
        dockerfile=dockerfile,
        target=choices.target,
        arguments=choices.arguments,
        why=(f"{dockerfile} {found}; its context is {root or 'the top of the source'}",),
    )
