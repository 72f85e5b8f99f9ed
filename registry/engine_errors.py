"""Sorts errors of a Docker Engine by their text: the engine passes on no status of the registry.

The texts of the classic and the containerd image store differ. An error that no rule knows is of kind
`remote`, permanent, and shown completely.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry.errors import EXPIRED, ErrorKind, RegistryError
from registry.reasons import PATTERNS, Reason


@dataclass(frozen=True)
class _Rule:
    pattern: re.Pattern[str]
    kind: ErrorKind
    permanent: bool
    reason: Reason | None
    perhaps_expired: bool = False


def _rule(
    kind: ErrorKind,
    permanent: bool,
    reason: Reason | None,
    *phrases: str,
    perhaps_expired: bool = False,
) -> _Rule:
    return _Rule(re.compile("|".join(phrases), re.IGNORECASE), kind, permanent, reason, perhaps_expired)


# The first match wins. Addresses are removed before: a repository may be called "unauthorized".
_RULES = (
    _rule(  # before all numbers: the id of a stream may equal a status
        "push",
        False,
        Reason.UNREACHABLE,
        r"\bgoaway\b",
        r"\bhttp2: (client connection|timeout|server sent|stream closed|transport: cannot retry)",
        r"\bstream error: stream id\b",
        r"\bstream (was )?reset\b",
        r"\brst_stream\b",
        r"\brefused_stream\b",
        r"\benhance_your_calm\b",
        r"\bstream terminated by\b",
        r"transport (connection broken|is closing)|closing transport|server closed idle connection",
    ),
    _rule(
        "tag",
        True,
        Reason.NOT_FOUND,
        r"does not exist locally with the tag",
        r"\btag does not exist",
        r"invalid reference format",
        r"no such image",
    ),
    # the text may mention a quota, but one per minute
    _rule(
        "remote",
        False,
        Reason.RATE_LIMITED,
        *PATTERNS[Reason.RATE_LIMITED],
        r"\b429\b",
        r"rate ?limit ?exceeded",
    ),
    _rule("remote", True, Reason.FULL, *PATTERNS[Reason.FULL], r"quota"),
    _rule("push", True, Reason.PLAIN_HTTP, *PATTERNS[Reason.PLAIN_HTTP]),
    _rule("push", True, Reason.UNTRUSTED, *PATTERNS[Reason.UNTRUSTED]),
    _rule(
        "auth_expired",
        False,
        Reason.UNAUTHENTICATED,
        *EXPIRED,
        r"\bunauthorized\b",
        r"no basic auth credentials",
        r"authentication (is )?required",
        r"incorrect username or password",
        r"\b401\b",
    ),
    _rule("remote", True, Reason.DENIED, r"insufficient_scope", perhaps_expired=False),
    _rule("remote", True, Reason.DENIED, r"\bdenied\b", r"\bforbidden\b", r"\b403\b", perhaps_expired=True),
    _rule("remote", True, Reason.FULL, r"\b507\b"),
    _rule("remote", True, Reason.TOO_LARGE, r"request entity too large", r"\b413\b"),
    _rule("remote", True, Reason.NOT_FOUND, r"\bname (unknown|invalid)", r"\b404\b"),
    _rule("remote", True, None, r"manifest (invalid|unverified)", r"\b(400|405|415)\b"),
    _rule(
        "remote",
        False,
        Reason.UNAVAILABLE,
        r"\b(408|425|499|500|502|503|504|52\d|530|598|599)\b",
        r"^(unknown|unavailable|blob upload (invalid|unknown)):",
        r"\bblob unknown",  # the next push sends the layer again
    ),
    _rule(
        "push",
        False,
        Reason.UNREACHABLE,
        *PATTERNS[Reason.UNREACHABLE],
        r"connection (aborted|closed|lost)",
        r"connection (was |has been )?(forcibly )?closed",
        r"broken pipe",
        r"closed network connection",
        r"\btime(d[ -]?)?out\b",
        r"deadline exceeded",
        r"request canceled",
        r"host is down",
        r"server misbehaving",
        r"short (read|write)\b",
        r"bad record mac",
        r"code = unavailable",
    ),
)

LOOKED_AT = 8000  # characters of the engine's text that are read
LONGEST_WORD = 500
_WORD = re.compile(r"\S+")
# Searched in one word at a time, so that no text takes long.
_NOISE = re.compile(
    r"https?://."  # request addresses
    r"|sha256:[0-9a-f]"  # digests, refs of containerd
    r"|.(?:\..+|:\d+)/."  # host/repository
    r"|:\d+->.+:\d"  # sockets
)
_IP = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?")


def from_engine(text: str) -> RegistryError:
    """Sorts an error text of a Docker Engine, from the push stream or from an API error."""
    bare = _IP.sub("", _WORD.sub(_unless_noise, text[:LOOKED_AT]))
    for rule in _RULES:
        if rule.pattern.search(bare):
            return RegistryError(
                text,
                kind=rule.kind,
                reason=rule.reason,
                permanent=rule.permanent,
                perhaps_expired=rule.perhaps_expired,
            )
    return RegistryError(text)


def _unless_noise(word: re.Match[str]) -> str:
    return "" if len(word[0]) > LONGEST_WORD or _NOISE.search(word[0]) else word[0]
