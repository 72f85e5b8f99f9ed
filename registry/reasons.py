"""Why something failed: one code for each cause, which is set once, by the adapter that gets the error.

An adapter turns the text of another program into a code. Texts that several programs share are listed here,
in `PATTERNS`; an adapter adds the words of its own program. Code decides by the reason, so sentences for
people can be reworded freely.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from enum import StrEnum


class Reason(StrEnum):
    """The causes. They are stored in rows: a value may be added, but none may change its meaning."""

    DENIED = "denied"
    UNAUTHENTICATED = "unauthenticated"
    NO_CREDENTIALS = "no_credentials"
    BAD_CREDENTIALS_FILE = "bad_credentials_file"
    BROKEN_HELPER = "broken_helper"
    BROKEN_REFRESH = "broken_refresh"
    RATE_LIMITED = "rate_limited"
    FULL = "full"
    TOO_LARGE = "too_large"
    UNTRUSTED = "untrusted"
    PLAIN_HTTP = "plain_http"
    NOT_FOUND = "not_found"
    UNREACHABLE = "unreachable"
    UNAVAILABLE = "unavailable"
    STALLED = "stalled"
    PRIVATE_ADDRESS = "private_address"
    REDIRECTED = "redirected"
    UNSUPPORTED = "unsupported"
    WRONG_PLATFORM = "wrong_platform"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    WORKER_LOST = "worker_lost"
    UNSATISFIABLE = "unsatisfiable"
    NO_CAPACITY = "no_capacity"
    IMAGE_UNAVAILABLE = "image_unavailable"
    MISSING_MODULE = "missing_module"
    MISCONFIGURED = "misconfigured"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    UNHEALTHY = "unhealthy"


SENTENCES: Mapping[Reason, str] = {
    Reason.DENIED: "The account is known, and may not do this.",
    Reason.UNAUTHENTICATED: "The credentials were not accepted: they are wrong, or have expired.",
    Reason.NO_CREDENTIALS: "No credentials are configured for it.",
    Reason.BAD_CREDENTIALS_FILE: "The file that holds the credentials cannot be used.",
    Reason.BROKEN_HELPER: "The credential helper failed.",
    Reason.BROKEN_REFRESH: "The command that renews the credentials failed.",
    Reason.RATE_LIMITED: "Too many requests were made in too short a time.",
    Reason.FULL: "A disk is full, or a quota of storage is used up.",
    Reason.TOO_LARGE: "What was sent is larger than is accepted.",
    Reason.UNTRUSTED: "The TLS certificate of the other side is not trusted.",
    Reason.PLAIN_HTTP: "The other side speaks http where https was expected.",
    Reason.NOT_FOUND: "What was asked for does not exist.",
    Reason.UNREACHABLE: "The other side cannot be reached over the network.",
    Reason.UNAVAILABLE: "The other side answers, and has trouble of its own.",
    Reason.STALLED: "It made no progress, or took longer than one attempt may.",
    Reason.PRIVATE_ADDRESS: "It leads to an address of this machine or of a private network.",
    Reason.REDIRECTED: "A redirect leads to where nothing is sent.",
    Reason.UNSUPPORTED: "The other side does not support what was asked for.",
    Reason.WRONG_PLATFORM: "It is for another operating system or processor.",
    Reason.ENGINE_UNAVAILABLE: "The Docker Engine does not answer, or may not be used.",
    Reason.WORKER_LOST: "The worker process that did the work ended unexpectedly.",
    Reason.UNSATISFIABLE: "The dependencies cannot be installed as they are asked for.",
    Reason.NO_CAPACITY: "The cluster has no capacity for it.",
    Reason.IMAGE_UNAVAILABLE: "The image could not be pulled where it is to run.",
    Reason.MISSING_MODULE: "The server uses a module, or a part of one, that is not installed.",
    Reason.MISCONFIGURED: "The server asks for a setting that it was not given.",
    Reason.CRASHED: "The server's process ended by itself.",
    Reason.OUT_OF_MEMORY: "The server was killed because it used too much memory.",
    Reason.UNHEALTHY: "The server runs, and does not answer MCP.",
}

# Patterns of texts that tools, engines, kubelets and registries share.
PATTERNS: Mapping[Reason, tuple[str, ...]] = {
    Reason.FULL: (r"no space left", r"\bENOSPC\b", r"disk quota exceeded", r"insufficient storage"),
    Reason.RATE_LIMITED: (r"too ?many ?requests",),
    Reason.PLAIN_HTTP: (
        r"server gave HTTP response to HTTPS client",
        r"wrong version number",
        r"record layer failure",
    ),
    Reason.UNTRUSTED: (r"\bx509\b", r"certificate"),
    Reason.WRONG_PLATFORM: (r"exec format error",),
    Reason.UNREACHABLE: (
        r"no such host",
        r"could not resolve host",
        r"temporary failure in name resolution",
        r"\b(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT)\b",
        r"dns error",
        r"connection (?:reset|refused)",
        r"reset by peer",
        r"no route to host",
        r"network is unreachable",
        r"\btimed out\b",
        r"\bEOF\b",
    ),
}
_HEARD = {reason: re.compile("|".join(said), re.IGNORECASE) for reason, said in PATTERNS.items()}


def says(reason: Reason, text: str) -> bool:
    """Tells whether the `text` of another program matches one of the patterns for `reason`."""
    return bool(_HEARD[reason].search(text))


def reason_in(text: str) -> Reason | None:
    """Returns the first reason whose patterns match the `text` of another program; None if none does."""
    return next((reason for reason in _HEARD if says(reason, text)), None)


def is_full(error: BaseException) -> bool:
    """Tells whether an error of the operating system means a full disk or a used up quota.

    Some libraries put several errors into the text of one, without a number; so the text is searched, too.
    """
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
