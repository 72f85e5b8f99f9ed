"""The start of a payload, for people, without what looks like a secret. Pure."""

from __future__ import annotations

import re

from servers.redaction import MASK, Redactor

LENGTH, LOOKED_AT = 4_000, 64 * 1024
_SECRETS = re.compile(
    r'("[^"]*(?:secret|token|passw|api_?key|private_?key|authorization|credential)[^"]*"\s*:\s*)"(?:[^"\\]|\\.)*"?',
    re.IGNORECASE,
)


def excerpt(body: bytes, redact: Redactor) -> str:
    """At most LENGTH characters; what is cut off at the end was never looked at by anybody."""
    text = body[:LOOKED_AT].decode("utf-8", "replace").replace("\x00", "")
    return redact(_SECRETS.sub(rf'\1"{MASK}"', text))[:LENGTH]
