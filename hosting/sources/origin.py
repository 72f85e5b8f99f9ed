"""Returns the origin of a git URL: scheme, host and port. A credential is bound to it."""

from __future__ import annotations

import re

from outbound import origin

SCP_LIKE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?!/)\S+")


def origin_of(url: str) -> str:
    """Returns the origin, "" for a URL without one.

    `https://forge.example/a` gives `https://forge.example`, `git@forge.example:a/b` gives
    `ssh://forge.example`.
    """
    if found := SCP_LIKE.fullmatch(url):
        return f"ssh://{found['host'].lower()}"
    return origin.origin_of(url)
