"""What a source is: told where to put things, it yields a build context or an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from servers.leash import Leash
from servers.process_group import LineSink


@dataclass(frozen=True)
class BuildContext:
    """A directory to build from.

    `revision` identifies the content: a commit id, `sha256:<hex>` of an archive, `name==version`. `command`
    is what the source itself knows to start the server (a package's entry point); () where it doesn't.
    """

    path: Path
    revision: str
    summary: str = ""
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExistingImage:
    """An image that somebody else built: `reference` is `host/repository@sha256:…`; `revision` its digest."""

    reference: str
    digest: str

    @property
    def revision(self) -> str:
        return self.digest


Fetched = BuildContext | ExistingImage


class Source(Protocol):
    def fetch(self, into: Path, *, leash: Leash, log: LineSink) -> Fetched:
        """Fetches into the empty directory `into`. Raises `SourceError`, `Cancelled`, `TimedOut`."""
        ...


@dataclass(frozen=True)
class Recipe:
    """What was recognised in a build context, and how the server in it starts.

    kind `dockerfile`: the context brings its own Dockerfile (`dockerfile`, relative to the context).
    kind `python`: `install` is "" (no dependencies) | `requirements` (the `files` list them) | `project` (the
    context itself is a package); kind `node`: `install` is `lock` | `package`, and `build` tells that
    `npm run build` makes what the command starts.
    `command` starts the server, run in the context directory with the environment's bin directory first on
    PATH; () where the Dockerfile's own command does.
    """

    kind: Literal["dockerfile", "python", "node"]
    install: Literal["", "requirements", "project", "lock", "package"] = ""
    command: tuple[str, ...] = ()
    dockerfile: str = ""
    # Dependency manifests, copied first so that layers cache; () where an install needs the whole context.
    files: tuple[str, ...] = field(default=())
    build: bool = False
