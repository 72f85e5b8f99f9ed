"""Looks at a source and says how to install and start the server in it."""

from __future__ import annotations

from pathlib import Path

from servers.errors import SourceError
from servers.sources import dockerfile_project, manifests, node_project, python_project
from servers.sources.base import BuildContext
from servers.sources.plan import Choices, Plan

NO_CHOICES = Choices()


def recognise(context: BuildContext, choices: Choices = NO_CHOICES, *, images: bool) -> Plan:
    """`images`: whether the runtime runs images; without, a Dockerfile cannot help. Raises `SourceError`."""
    path = context.path
    if images and dockerfile_project.is_one(context, choices):
        return dockerfile_project.plan(context, choices)
    if node_project.is_one(path) and not python_project.is_packaged(path):
        return node_project.plan(context, choices)
    if python_project.is_one(path):
        return python_project.plan(context, choices)
    raise python_project.objection(path) or _not_recognised(path)


def _not_recognised(path: Path) -> SourceError:
    if manifests.has(path, "Dockerfile"):
        return SourceError(
            "This source has only a Dockerfile, which the process runtime cannot run.",
            hint="Use the docker or kubernetes runtime, or add pyproject.toml or package.json.",
        )
    return SourceError(
        "Nothing that can be started was found in the source.",
        hint="Looked for Dockerfile, pyproject.toml with [project], requirements.txt, package.json, "
        + ", ".join(python_project.SCRIPTS)
        + ". If the server lies deeper, set the subdirectory.",
    )
