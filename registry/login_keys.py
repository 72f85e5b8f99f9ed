"""Finds the key in a Docker config that applies to an image: the longest that covers it.

A key is `host[:port]`, or with a namespace `host[:port]/path` as in containers-auth.json(5). The host may
hold `*` and `?` within a label, as in Kubernetes (kubernetes.io/docs/concepts/containers/images). A key with
a scheme is a URL: Docker compares only its host, so a URL with another path applies if nothing else does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from registry.reference import HUB_HOST, is_hub

_VERSIONS = ("v1", "v2")  # versions of a registry's API: no namespaces
_LAST_RESORT = -1


@dataclass(frozen=True)
class Key:
    """A parsed key.

    `host` is in lower case, with one name for Docker Hub; `path` are the namespace's segments.
    """

    host: str
    path: tuple[str, ...] = ()
    is_address: bool = False

    @classmethod
    def read(cls, text: str) -> Key:
        """Parses a key."""
        scheme, found, rest = text.strip().partition("://")
        host, _, path = (rest if found else scheme).partition("/")
        segments = tuple(filter(None, path.split("/")))
        if segments[:1] and segments[0] in _VERSIONS:
            segments = segments[1:]
        name = host.lower()
        return cls(HUB_HOST if is_hub(name) else name, segments, bool(found))

    @property
    def place(self) -> str:
        """`host[:port][/namespace]`: the same text for keys that mean the same."""
        return "/".join((self.host, *self.path))

    def covers(self, wanted: Key) -> int | None:
        """Returns how many segments of `wanted` the key names; -1 for a URL of its host, None if it does not
        apply.
        """
        if not _same_host(self.host, wanted.host):
            return None
        if wanted.path[: len(self.path)] == self.path:
            return len(self.path)
        return _LAST_RESORT if self.is_address else None


def best(keys: Iterable[str], host: str, repository: str = "") -> str | None:
    """Returns the key that applies to a repository at `host`, or to the host if `repository` is ""; None for
    none.
    """
    wanted = Key(Key.read(host).host, tuple(filter(None, repository.split("/"))))
    known = ((text, Key.read(text)) for text in keys)
    found = [
        ((key.host == wanted.host, covered, text == host), text)
        for text, key in known
        if (covered := key.covers(wanted)) is not None
    ]
    return max(found, key=lambda each: each[0])[1] if found else None


def is_namespace(text: str) -> bool:
    """Tells whether the key names a part of a registry."""
    return bool(Key.read(text).path)


def _same_host(pattern: str, host: str) -> bool:
    """Compares label by label, so that `*` matches no dot; ports have to be equal."""
    if pattern == host or ("*" not in pattern and "?" not in pattern):
        return pattern == host
    name, _, port = pattern.partition(":")
    wanted, _, wanted_port = host.partition(":")
    labels, known = name.split("."), wanted.split(".")
    return port == wanted_port and len(labels) == len(known) and all(map(_same_label, labels, known))


def _same_label(pattern: str, label: str) -> bool:
    """Matches `*` and `?`. It goes back to the last `*` only, so that no pattern takes long."""
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
