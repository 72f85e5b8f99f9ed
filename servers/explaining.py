"""What would become of a source: it is fetched and looked at as a deployment does it, and nothing is run."""

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
from hosting.sources.base import BuildContext
from hosting.sources.plan import Choices
from hosting.sources.recognise import recognise
from hosting.sources.upload import ArchiveSource
from servers import runtime_choice
from servers.deploying import fetching
from servers.models import Server
from servers.models.server import RuntimeChoice, SourceKind


def explain(server: Server, archive: Path | None = None) -> dict[str, Any]:
    """The plan as `Plan.told` gives it, of a server that need not be kept. Raises `UserError`.

    `archive` is where an upload lies that is not kept yet.
    """
    if server.source_kind == SourceKind.IMAGE:
        raise Invalid("An image is started as it is: there is nothing to recognise in it.")
    choices = Choices.of(server.build, tuple(server.command))
    images = runtime_choice.runtime_name_for(server) != RuntimeChoice.PROCESS
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
