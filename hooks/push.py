"""A push, in one form for all providers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

BRANCH, TAG = "refs/heads/", "refs/tags/"
MOST_PATHS = 2000


@dataclass(frozen=True)
class Push:
    """`paths` are the changed ones; None where the provider does not tell them all.

    `urls` are addresses of the repository, to clone it or to see it; `repository` is its name for people.
    `ref` is "" where a generic hook just asks for a deployment, and `commit` "" where it names none.
    """

    ref: str = ""
    commit: str = ""
    before: str = ""
    paths: tuple[str, ...] | None = None
    sender: str = ""
    repository: str = ""
    urls: tuple[str, ...] = ()
    default_branch: str = ""
    forced: bool = False
    deleted: bool = False

    @property
    def name(self) -> str:
        """`main`, or `tags/v1` of a tag: as branch filters are written."""
        if self.ref.startswith(BRANCH):
            return self.ref.removeprefix(BRANCH)
        return self.ref.removeprefix("refs/")

    def kept(self) -> dict[str, Any]:
        """As JSON, for the row of a delivery."""
        return asdict(self)

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Push:
        paths = kept.get("paths")
        changed = {"paths": None if paths is None else tuple(paths), "urls": tuple(kept.get("urls", ()))}
        return cls(**{**kept, **changed})


@dataclass(frozen=True)
class Verified:
    """A delivery whose signature is right. `push` is None for an event that is none, such as a ping.

    `id_is_signed` is False where the signature covers the body alone: whoever has seen the request once can
    send it again under another id. `content` is what the signature covers, where that is not the body as it
    came: it tells the same push whatever it is wrapped in.
    """

    delivery_id: str
    event: str
    push: Push | None = None
    id_is_signed: bool = True
    content: bytes = field(default=b"", repr=False)


class Refused(Exception):
    """A delivery that is refused. The message may be shown to the sender, except that of `NotSigned`."""


class NotSigned(Refused):
    """No secret of the hook made this signature. The sender gets the same answer as for an unknown
    address."""


class Stale(Refused):
    """The signature is valid, but too old, or from the future."""


class Dropped(Refused):
    """The signature is valid, but the secret is no longer accepted."""


class Malformed(Refused):
    """The signature is valid, but the content is not what the provider sends."""
