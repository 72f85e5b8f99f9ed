"""Where a repository lies, as far as its credential is concerned: scheme, host and port."""

from __future__ import annotations

import re

from outbound import origin

SCP_LIKE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?!/)\S+")


def origin_of(url: str) -> str:
    """`https://forge.example`; `git@forge.example:a/b` is at `ssh://forge.example`. "" for none."""
    if found := SCP_LIKE.fullmatch(url):
        return f"ssh://{found['host'].lower()}"
    return origin.origin_of(url)
