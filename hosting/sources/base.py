"""The interface of a source: it writes a build context into a directory, or it names an image that exists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hosting.deadline import Deadline
from hosting.process_group import LineSink


@dataclass(frozen=True)
class BuildContext:
    """A directory to build from.

    `path` is the directory of the server. `top` is the top of the source (of the repository or the archive);
    it equals `path` where no subdirectory was named. `revision` identifies the content: a commit id,
    `sha256:<hex>` of an archive, or `name==version` of a package. `summary` is a line for people, such as the
    subject of the commit. `command` starts the server where the source knows that (the entry point of a
    package), else (). `version` is the content's version (PEP 440) as the tags of its repository tell it, ""
    where none do. `python` is the range of Python versions that a package requires (PEP 440), "" for none.
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
        """The path from `top` to the server's directory; "" where both are the same."""
        found = self.path.relative_to(self.top).as_posix()
        return "" if found == "." else found


@dataclass(frozen=True)
class ExistingImage:
    """An image that somebody else has built.

    `reference` is `host/repository@sha256:…`, `digest` its digest.
    """

    reference: str
    digest: str

    @property
    def revision(self) -> str:
        """The digest: it identifies the content, as the revision of a `BuildContext` does."""
        return self.digest


Fetched = BuildContext | ExistingImage


class Source(Protocol):
    """A kind of source. Each kind is a frozen dataclass that holds what the user typed in."""

    def fetch(self, into: Path, *, deadline: Deadline, log: LineSink) -> Fetched:
        """Fetches the source into the empty directory `into` and returns what there is to build or to run.

        `log` gets lines for people. Raises `SourceError`, `Cancelled`, `TimedOut`.
        """
        ...
