"""Which entry of a Docker config answers for an image: the longest that covers it.

A key is `host[:port]`, or with a namespace `host[:port]/path` as in containers-auth.json(5); the host may
hold `*` and `?` within a label, as Kubernetes takes them (kubernetes.io/docs/concepts/containers/images).
With a scheme it is an address of that host's: Docker looks at the host alone, so such a path is the last
resort.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from registry.reference import HUB_HOST, is_hub

_VERSIONS = ("v1", "v2")  # of a registry's API: no namespaces
_LAST_RESORT = -1


@dataclass(frozen=True)
class Key:
    """`host` in lower case, Docker Hub's by one name; `path` are the segments of a namespace."""

    host: str
    path: tuple[str, ...] = ()
    is_address: bool = False

    @classmethod
    def read(cls, text: str) -> Key:
        scheme, found, rest = text.strip().partition("://")
        host, _, path = (rest if found else scheme).partition("/")
        segments = tuple(filter(None, path.split("/")))
        if segments[:1] and segments[0] in _VERSIONS:
            segments = segments[1:]
        name = host.lower()
        return cls(HUB_HOST if is_hub(name) else name, segments, bool(found))

    @property
    def place(self) -> str:
        """`host[:port][/namespace]`, the one spelling of keys that mean the same."""
        return "/".join((self.host, *self.path))

    def covers(self, wanted: Key) -> int | None:
        """How many segments of `wanted` it names, -1 for an address of its host; None if it does not fit."""
        if not _same_host(self.host, wanted.host):
            return None
        if wanted.path[: len(self.path)] == self.path:
            return len(self.path)
        return _LAST_RESORT if self.is_address else None


def best(keys: Iterable[str], host: str, repository: str = "") -> str | None:
    """The key that answers for a repository at `host`, or for the host where no `repository` is known."""
    wanted = Key(Key.read(host).host, tuple(filter(None, repository.split("/"))))
    known = ((text, Key.read(text)) for text in keys)
    found = [
        ((key.host == wanted.host, covered, text == host), text)
        for text, key in known
        if (covered := key.covers(wanted)) is not None
    ]
    return max(found, key=lambda each: each[0])[1] if found else None


def is_namespace(text: str) -> bool:
    """Whether the key names less than a whole registry."""
    return bool(Key.read(text).path)


def _same_host(pattern: str, host: str) -> bool:
    """Label by label, so that a star is no dot; ports are compared as they are."""
    if pattern == host or ("*" not in pattern and "?" not in pattern):
        return pattern == host
    name, _, port = pattern.partition(":")
    wanted, _, wanted_port = host.partition(":")
    labels, known = name.split("."), wanted.split(".")
    return port == wanted_port and len(labels) == len(known) and all(map(_same_label, labels, known))


def _same_label(pattern: str, label: str) -> bool:
    """`*` is any text, `?` any character. It goes back to the last star only, so that none takes long."""
    at = then = mark = 0
    star = -1
    while at < len(label):
        if then < len(pattern) and pattern[then] in ("?", label[at]):
            at, then = at + 1, then + 1
        elif then < len(pattern) and pattern[then] == "*":
            star, mark, then = then, at, then + 1
        elif star >= 0:
            mark += 1
            at, then = mark, star + 1
        else:
            return False
    return not pattern[then:].strip("*")
