"""Tells how a source would be built: fetches and recognises it like a deployment, but runs nothing of it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings

from hosting import tooling
from hosting.builder import context
from hosting.deadline import Deadline
from hosting.errors import Invalid
from hosting.runtimes import kinds
from hosting.sources.base import BuildContext
from hosting.sources.plan import Choices
from hosting.sources.recognise import recognise
from hosting.sources.upload import ArchiveSource
from servers import runtime_choice
from servers.deploying import fetching
from servers.models import Server
from servers.models.server import SourceKind


def explain(server: Server, archive: Path | None = None) -> dict[str, Any]:
    """Returns the plan of a server, as `Plan.as_json` gives it. The server need not be saved.

    `archive` is the path of an upload that no server keeps yet. Raises `UserError`, for example if the source
    cannot be fetched or recognised.
    """
    if server.source_kind == SourceKind.IMAGE:
        raise Invalid("An image is started as it is: there is nothing to recognise in it.")
    choices = Choices.of(server.build, tuple(server.command))
    images = kinds.needs_image(runtime_choice.runtime_name_for(server))
    with tempfile.TemporaryDirectory(prefix="mcphost-explain-", ignore_cleanup_errors=True) as work:
        fetched = _fetch(server, archive, Path(work) / "source")
        return recognise(fetched, choices, images=images).as_json(choices)


def _fetch(server: Server, archive: Path | None, into: Path) -> BuildContext:
    source = fetching.source_of(server)
    if archive and isinstance(source, ArchiveSource):
        source = replace(source, path=archive)
    deadline = Deadline.of(settings.DEPLOY_TIMEOUT).within(settings.BUILD_TIMEOUT, "look at the source")
    with context.filling(into):
        fetched = source.fetch(into, deadline=deadline, log=tooling.no_log)
    assert isinstance(fetched, BuildContext)
    return fetched
