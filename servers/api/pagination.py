"""Keyset pages: what is written meanwhile neither repeats nor hides a row."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson
from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

LIMIT, MOST = 100, 1000


def limit_of(request: Request, default: int = LIMIT) -> int:
    """`?limit=`, 1 to 1000."""
    return number_of(request, "limit", low=1, high=MOST) or default


def number_of(request: Request, name: str, *, low: int = 0, high: int = 2**63 - 1) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    # The length first: Python refuses to read thousands of digits.
    if not text.isdecimal() or len(text) > 19 or not low <= int(text) <= high:
        raise ValidationError({name: f"Must be a whole number from {low} to {high}."})
    return int(text)


def encode(key: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def decode(cursor: str, *kinds: type) -> list[Any]:
    """The key in a cursor; raises `ValidationError` for anything that we did not make."""
    try:
        key = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        key = None
    if not isinstance(key, list) or [type(part) for part in key] != list(kinds):
        raise ValidationError({"cursor": "This is not a cursor of this list: take it from `next`."})
    return key


def page(request: Request, results: list[Any], key: Sequence[Any] | None) -> dict[str, Any]:
    """`next` is the address of the following page, null on the last."""
    here = request.build_absolute_uri()
    return {"next": replace_query_param(here, "cursor", encode(key)) if key else None, "results": results}


class NewestFirst(BasePagination):
    """Pages of rows by falling id."""

    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        assert isinstance(queryset, QuerySet)
        limit = limit_of(request)
        if cursor := request.query_params.get("cursor"):
            queryset = queryset.filter(pk__lt=decode(cursor, int)[0])
        rows = list(queryset.order_by("-pk")[: limit + 1])
        self.request = request
        self.key = [rows[limit - 1].pk] if len(rows) > limit else None
        return rows[:limit]

    def get_paginated_response(self, data: Any) -> Response:
        return Response(page(self.request, data, self.key))

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return page_schema(schema)

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [CURSOR, LIMIT_PARAMETER]


CURSOR: dict[str, Any] = {
    "name": "cursor", "in": "query", "schema": {"type": "string"}, "description": "From `next` of a page.",
}  # fmt: skip
LIMIT_PARAMETER: dict[str, Any] = {
    "name": "limit", "in": "query", "description": "Rows on a page.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT},
}  # fmt: skip


def page_schema(items: dict[str, Any]) -> dict[str, Any]:
    following = {"type": "string", "format": "uri", "nullable": True}
    return {
        "type": "object",
        "required": ["next", "results"],
        "properties": {"next": following, "results": items},
    }
