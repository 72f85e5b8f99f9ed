"""Plans a source that has its own Dockerfile: it is built as its author builds it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from hosting.errors import SourceError
from hosting.sources import manifests
from hosting.sources.base import BuildContext
from hosting.sources.plan import Choices, Plan

NAMES = ("Dockerfile", "Containerfile")  # Podman and Buildah use the second name
# Names of Dockerfiles where there are several: Dockerfile.prod, Dockerfile-alpine, server.Dockerfile.
ALIKE = re.compile(
    r"(?i)(?:docker|container)file(?:[.-][\w.-]{1,60})?|[\w.-]{1,60}\.(?:docker|container)file"
)
NO_DOCKERFILE = re.compile(r"(?i)\.(?:dockerignore|containerignore|md|rst|txt|j2|tmpl|template)$")
DEEPEST, MOST_LOOKED_AT, MOST_NAMED, LONGEST = 3, 2000, 5, 120
PASSED_OVER = ("node_modules", "vendor", "site-packages", "venv")
ONLY_IMAGES = "Use the docker or kubernetes runtime"


def is_one(context: BuildContext, choices: Choices) -> bool:
    """Tells whether a Dockerfile was set, or lies in the server's directory."""
    return bool(choices.dockerfile or beside_server(context))


def plan(context: BuildContext, choices: Choices) -> Plan:
    """Returns the plan.

    The build context is `choices.root`, else the server's directory. Raises `SourceError`.
    """
    dockerfile = choices.dockerfile or beside_server(context)
    if not manifests.has(context.top, dockerfile):
        raise SourceError(
            f"The source has no file {dockerfile}.",
            hint="The path of the Dockerfile starts at the top of the source. " + suggestion(context.top),
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


def beside_server(context: BuildContext) -> str:
    """Returns the Dockerfile in the server's directory, from the source's top; "" if there is none."""
    found = next((name for name in NAMES if manifests.has(context.path, name)), "")
    return "/".join(filter(None, (context.subdirectory, found))) if found else ""


def suggestion(top: Path) -> str:
    """Returns a sentence that names Dockerfiles elsewhere in the source; "" if none is found."""
    found = list(islice(_elsewhere(top), MOST_NAMED + 1))
    if not found:
        return ""
    more = " and others" if len(found) > MOST_NAMED else ""
    named = ", ".join(sorted(found[:MOST_NAMED]))
    return f"It has {named}{more}: set the one to build as the Dockerfile."


def _elsewhere(top: Path) -> Iterator[str]:
    looked_at = 0
    for directory, below, files in os.walk(top):
        here = Path(directory).relative_to(top)
        deepest = len(here.parts) >= DEEPEST
        below[:] = [] if deepest else sorted(n for n in below if n not in PASSED_OVER and n[0] != ".")
        looked_at += len(files)
        if looked_at > MOST_LOOKED_AT:
            return
        paths = ((here / name).as_posix() for name in sorted(files) if _is_alike(name))
        yield from (path for path in paths if len(path) <= LONGEST and manifests.has(top, path))


def _is_alike(name: str) -> bool:
    return bool(ALIKE.fullmatch(name)) and not NO_DOCKERFILE.search(name)
