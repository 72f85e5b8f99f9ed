"""An image that somebody else has built: its tag is resolved to a digest once, and the digest is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hosting.deadline import Deadline
from hosting.errors import SourceError
from hosting.process_group import LineSink
from hosting.sources.base import ExistingImage

Resolver = Callable[[str], str]  # returns "sha256:<hex>" for a reference; raises a UserError

HUB = "docker.io"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
REFERENCE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+(?=/))?(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class ImageSource:
    """`resolver` asks the registry for the digest of a reference; it is also called for a pinned one."""

    reference: str
    resolver: Resolver = field(repr=False)

    def fetch(self, into: Path, *, deadline: Deadline, log: LineSink) -> ExistingImage:
        """Resolves the reference; writes nothing to `into`.

        Raises `SourceError`, and what `resolver` raises.
        """
        name, pinned = parse(self.reference)
        deadline.check()
        digest = self.resolver(self.reference)
        if not DIGEST.fullmatch(digest) or (pinned and pinned != digest):
            raise SourceError(f"The registry answered another digest for {self.reference}: {digest}.")
        log(f"{self.reference} is {digest}")
        return ExistingImage(f"{name}@{digest}", digest)


def parse(reference: str) -> tuple[str, str]:
    """Returns (`host/repository`, digest or "").

    A name without a host belongs to Docker Hub. Raises `SourceError`.
    """
    found = REFERENCE.fullmatch(reference)
    if not found:
        raise SourceError(
            f"“{reference}” is not an image reference.",
            hint="For example registry.example.org/team/server:1.2.",
        )
    return _full_name(found["name"]), found["digest"] or ""


def _full_name(name: str) -> str:
    first, _, rest = name.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"{HUB}/{name}" if rest else f"{HUB}/library/{name}"
