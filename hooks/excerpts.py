"""The start of a payload, for people, without what looks like a secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from hosting.redaction import MASK, Redactor

LENGTH, LOOKED_AT = 4_000, 64 * 1024
_SECRETS = re.compile(
    r'("[^"]*(?:secret|token|passw|api_?key|private_?key|authorization|credential)[^"]*"\s*:\s*)"(?:[^"\\]|\\.)*"?',
    re.IGNORECASE,
)


def excerpt(payload: Mapping[str, Any], redact: Redactor) -> str:
    """At most LENGTH characters of it, set out line by line."""
    text = orjson.dumps(payload, option=orjson.OPT_INDENT_2).decode()[:LOOKED_AT]
    return redact(_SECRETS.sub(rf'\1"{MASK}"', text))[:LENGTH]
