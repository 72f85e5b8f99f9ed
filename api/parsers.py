from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework import parsers
from rest_framework.exceptions import ParseError, ValidationError

from servers.plain_json import flaw_in


class JSONParser(parsers.BaseParser):
    """Accepts only JSON that can be stored: no lone surrogates, no NUL, no NaN, no excessive nesting."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE  # REST framework itself reads without one
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise RequestDataTooBig
        try:
            return plain(orjson.loads(body))
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not JSON: {error}.") from None


def plain(value: Any) -> Any:
    """Returns `value`. Raises `ValidationError`, with the path, if a part of it cannot be stored."""
    if flaw := flaw_in(value):
        detail: Any = flaw.sentence
        for key in reversed(flaw.path):
            detail = {key: detail}
        raise ValidationError(detail)
    return value
