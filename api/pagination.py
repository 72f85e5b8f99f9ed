"""Pages by key, not by offset: rows that are written between two pages neither repeat nor hide a row."""

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

from api.doors import Door
from api.query import Number, Text

MOST = 1000
CURSOR = Text("cursor", "From `next` of a page.")
LIMIT = Number("limit", "Rows on a page.", low=1, high=MOST, default=100)
PAGED = (CURSOR, LIMIT)


def encode(key: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def decode(cursor: str, *kinds: type) -> list[Any]:
    """The key in a cursor. `kinds` are the types of its parts. Raises `ValidationError` for a foreign
    cursor."""
    try:
        key = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        key = None
    if not isinstance(key, list) or [type(part) for part in key] != list(kinds):
        raise not_ours()
    return key


def not_ours() -> ValidationError:
    return ValidationError({"cursor": "This is not a cursor of this list: take it from `next`."})


def page(request: Request, results: list[Any], key: Sequence[Any] | None) -> dict[str, Any]:
    """`next` is the address of the following page, null on the last."""
    here = request.build_absolute_uri()
    return {"next": replace_query_param(here, "cursor", encode(key)) if key else None, "results": results}


class NewestFirst(BasePagination):
    """Pages of rows by descending id. The view must be a `Door` whose `asks` contains `PAGED`."""

    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        assert isinstance(queryset, QuerySet)
        assert isinstance(view, Door)
        limit = view.asked["limit"]
        if cursor := view.asked["cursor"]:
            queryset = queryset.filter(pk__lt=decode(cursor, int)[0])
        rows = list(queryset.order_by("-pk")[: limit + 1])
        self.request = request
        self.key = [rows[limit - 1].pk] if len(rows) > limit else None
        return rows[:limit]

    def get_paginated_response(self, data: Any) -> Response:
        return Response(page(self.request, data, self.key))

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return page_schema(schema)


def page_schema(items: dict[str, Any]) -> dict[str, Any]:
    following = {"type": "string", "format": "uri", "nullable": True}
    return {
        "type": "object",
        "required": ["next", "results"],
        "properties": {"next": following, "results": items},
    }
