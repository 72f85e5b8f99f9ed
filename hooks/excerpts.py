"""The start of a payload, for people, without what looks like a secret. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from redaction.redactor import Redactor
from redaction.rules import in_json

LENGTH, LOOKED_AT = 4_000, 64 * 1024


def excerpt(payload: Mapping[str, Any], redact: Redactor) -> str:
    """At most LENGTH characters of it, set out line by line."""
    text = orjson.dumps(payload, option=orjson.OPT_INDENT_2).decode()[:LOOKED_AT]
    return redact(in_json(text))[:LENGTH]
