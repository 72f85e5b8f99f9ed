"""What a source is: told where to put things, it yields a build context or an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hosting.deadline import Deadline
from hosting.process_group import LineSink


@dataclass(frozen=True)
class BuildContext:
    """A directory to build from.

    `path` is where the server lies, `top` the top of the source (of the repository, of the archive), which
    is `path` where no subdirectory was named. `revision` identifies the content: a commit id, `sha256:<hex>`
    of an archive, `name==version`. `command` is what the source itself knows to start the server (a
    package's entry point); () where it doesn't. `version` is what the tags of a repository tell of the
    content's version (PEP 440), "" where nothing does. `python` is what a package asks of Python.
    """

    path: Path
    revision: str
    summary: str = ""
    command: tuple[str, ...] = ()
    top: Path = Path()
    version: str = ""
    python: str = ""

    def __post_init__(self) -> None:
        if self.top == Path():
            object.__setattr__(self, "top", self.path)

    @property
    def subdirectory(self) -> str:
        """Where the server lies, from the top; "" for the top itself."""
        found = self.path.relative_to(self.top).as_posix()
        return "" if found == "." else found


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
    def fetch(self, into: Path, *, deadline: Deadline, log: LineSink) -> Fetched:
        """Fetches into the empty directory `into`. Raises `SourceError`, `Cancelled`, `TimedOut`."""
        ...
