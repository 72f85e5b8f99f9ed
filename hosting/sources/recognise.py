"""Recognises a source and returns the plan to install and start its server."""

from __future__ import annotations

import re
from pathlib import Path

from hosting.errors import SourceError
from hosting.sources import dockerfile_project, manifests, node_project, python_project
from hosting.sources.base import BuildContext
from hosting.sources.plan import ECOSYSTEMS, NO_CHOICES, Choices, Plan

NAMES = {**ECOSYSTEMS, "dockerfile": "a Dockerfile"}
PLAIN = re.compile(r"[\w@./+-]*")  # characters that are safe in PATH and in a Dockerfile


def recognise(context: BuildContext, choices: Choices = NO_CHOICES, *, images: bool) -> Plan:
    """Returns the plan. `images` tells whether the runtime runs images: only then is a Dockerfile of use.

    Raises `SourceError` if nothing is recognised, or if a choice does not fit the source.
    """
    plan = _plan(context, choices, images=images)
    if not PLAIN.fullmatch(plan.member):
        raise SourceError(
            f"The directory {plan.member!r} cannot be started in: its name has other signs than letters, "
            "digits and @ . _ + -.",
            hint="Rename it.",
        )
    return plan


def _plan(context: BuildContext, choices: Choices, *, images: bool) -> Plan:
    path = context.top / manifests.directory(context.top, choices.root) if choices.root else context.path
    asked = choices.ecosystem
    if (choices.dockerfile or asked == "dockerfile") and not images:
        raise SourceError(
            f"{choices.dockerfile or 'A Dockerfile'} was set, which the process runtime cannot build.",
            hint=f"{dockerfile_project.ONLY_IMAGES}, or leave the Dockerfile out of how it is built.",
        )
    if images and asked in ("", "dockerfile") and dockerfile_project.is_one(context, choices):
        return dockerfile_project.plan(context, choices)
    if asked in ("", "node") and _is_node(path, asked):
        return node_project.plan(context, choices)
    if asked in ("", "python") and python_project.is_one(path):
        return python_project.plan(context, choices)
    if asked:
        raise SourceError(
            f"The source is to be built as {NAMES[asked]}, and has nothing of it.",
            hint="Leave the ecosystem out of how it is built, or set the root where it lies.",
        )
    raise python_project.unsupported(path) or _not_recognised(context, images=images)


def _is_node(path: Path, asked: str) -> bool:
    """Tells whether to build with Node.

    If a Python package lies beside it, package.json is mostly for a front end.
    """
    return node_project.is_one(path) and (asked == "node" or not python_project.is_packaged(path))


def _not_recognised(context: BuildContext, *, images: bool) -> SourceError:
    if found := dockerfile_project.beside_server(context):
        return SourceError(
            f"This source has only a {found.rpartition('/')[2]}, which the process runtime cannot run.",
            hint=f"{dockerfile_project.ONLY_IMAGES}, or add pyproject.toml or package.json.",
        )
    suggested = dockerfile_project.suggestion(context.top)
    if suggested and not images:
        suggested += f" {dockerfile_project.ONLY_IMAGES} for that."
    return SourceError(
        "Nothing that can be started was found in the source.",
        hint="Looked for Dockerfile, pyproject.toml with [project], requirements.txt, package.json, "
        + ", ".join(python_project.SCRIPTS)
        + ". If the server lies deeper, set the subdirectory."
        + (f" {suggested}" if suggested else ""),
    )
