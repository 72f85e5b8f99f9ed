"""The runtimes that there are, and what is known of each before it is loaded. A new one has a line here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A runtime by its `name`, which rows keep; `title` is what people read.

    `needs_image` is that of the runtime. `shares_account`: its servers have the rights of the platform's own
    account, and so can read the platform's files and keys.
    """

    name: str
    title: str
    needs_image: bool = True
    shares_account: bool = False


_ALL = (
    Kind("process", "Local process", needs_image=False, shares_account=True),
    Kind("docker", "Docker"),
    Kind("kubernetes", "Kubernetes"),
)
KINDS = {kind.name: kind for kind in _ALL}
SHARING_ACCOUNT = tuple(kind.name for kind in _ALL if kind.shares_account)


def needs_image(name: str) -> bool:
    """Whether this runtime runs images. A name that is not known here counts as one that does."""
    return name not in KINDS or KINDS[name].needs_image
