from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import orjson
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from metrics.payload import moment
from servers import levels, payloads
from servers.api.moments import moment_of
from servers.api.pagination import limit_of, number_of
from servers.api.renderers import JSONLinesRenderer, JSONRenderer, PlainTextRenderer
from servers.api.small_serializers import LogPage
from servers.api.views.access import ServerView
from servers.models import LogLine, Server
from servers.models.log import LogLineQuerySet, LogStream

LONGEST_SEARCH = 200
ROWS_AT_ONCE = 2000
CHOSEN = [
    OpenApiParameter("search", description="Lines that hold this text, in letters of either case."),
    OpenApiParameter("level", enum=levels.LEVELS, description="Lines that claim this level or a higher one."),
    OpenApiParameter("since", datetime, description="Lines written from then on."),
    OpenApiParameter("until", datetime, description="Lines written before."),
    OpenApiParameter("deployment", int, description="Lines of this deployment (its id)."),
    OpenApiParameter("step", int, description="Lines of this step (its id)."),
    OpenApiParameter("stream", enum=LogStream.values, many=True),
    OpenApiParameter("after", int, description="Lines kept after the line of this id."),
    OpenApiParameter("before", int, description="Lines kept before the line of this id."),
]
PAGED = [
    OpenApiParameter("tail", int, description="The last so many lines (to 1000)."),
    OpenApiParameter("limit", int, description="Lines on a page (JSON): 1 to 1000, by default 100."),
]
FORMAT = OpenApiParameter(
    "format", enum=["text", "jsonl"], description="text by default; jsonl is a line of JSON for each line."
)
Rows = QuerySet[LogLine, dict[str, Any]]


class Logs(ServerView):
    """Log lines of builds and runs, oldest first; as text/plain the whole range is one download."""

    renderer_classes = [JSONRenderer, PlainTextRenderer]

    @extend_schema(
        parameters=[*CHOSEN, *PAGED],
        responses={(200, "application/json"): LogPage, (200, "text/plain"): OpenApiTypes.STR},
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        server = self.server()
        rows, tail = _chosen(server, request), number_of(request, "tail", low=1, high=1000)
        if tail:
            rows = rows.filter(pk__in=list(rows.order_by("-pk").values_list("pk", flat=True)[:tail]))
        if _format(request) == PlainTextRenderer.format:
            return _download(server, rows, PlainTextRenderer.format)
        return Response(_page(request, rows, tail or limit_of(request)))


class LogDownload(ServerView):
    """The same lines as one file, written while it is sent, however long it is."""

    renderer_classes = [PlainTextRenderer, JSONLinesRenderer]

    @extend_schema(
        parameters=[FORMAT, *CHOSEN],
        responses={(200, "text/plain"): OpenApiTypes.STR, (200, "application/jsonl"): OpenApiTypes.STR},
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        server = self.server()
        return _download(server, _chosen(server, request), _format(request))


def _format(request: Request) -> str:
    return str(getattr(request.accepted_renderer, "format", ""))


def _chosen(server: Server, request: Request) -> Rows:
    lines: LogLineQuerySet = LogLine.objects.filter(server=server).order_by("pk")
    lines = lines.between(moment_of(request, "since"), moment_of(request, "until"))
    lines = lines.holding(_search(request)).at_least(_level(request))
    if streams := request.query_params.getlist("stream"):
        lines = lines.filter(stream__in=_known(streams))
    names = {"deployment": "deployment", "step": "step", "after": "pk__gt", "before": "pk__lt"}
    given = {lookup: number_of(request, name) for name, lookup in names.items()}
    lines = lines.filter(**{lookup: number for lookup, number in given.items() if number is not None})
    rows: Rows = lines.values(*payloads.LOG_COLUMNS)
    return rows


def _search(request: Request) -> str:
    text = request.query_params.get("search", "")
    if len(text) > LONGEST_SEARCH or "\x00" in text:
        raise ValidationError({"search": f"At most {LONGEST_SEARCH} characters, none of them NUL."})
    return text


def _level(request: Request) -> str:
    level = request.query_params.get("level", "")
    if level and level not in levels.LEVELS:
        raise ValidationError({"level": f"Choose one of {', '.join(levels.LEVELS)}."})
    return level


def _known(streams: list[str]) -> list[str]:
    if not set(streams) <= set(LogStream.values):
        raise ValidationError({"stream": f"Choose among {', '.join(LogStream.values)}."})
    return streams


def _page(request: Request, rows: Rows, limit: int) -> dict[str, Any]:
    found = list(rows[: limit + 1])
    results = [payloads.log_row(row) for row in found[:limit]]
    here = remove_query_param(request.build_absolute_uri(), "tail")
    following = replace_query_param(here, "after", str(results[-1]["id"])) if len(found) > limit else None
    return {"results": results, "next": following}


def _download(server: Server, rows: Rows, form: str) -> StreamingHttpResponse:
    written, kind, ending = _FORMS[form]
    body = _pieces(rows, written)
    response = StreamingHttpResponse(body, content_type=f"{kind}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{server.slug}.{ending}"'
    return response


def _pieces(rows: Rows, written: Callable[[dict[str, Any]], bytes]) -> Iterator[bytes]:
    """By a query for each: a slow reader holds neither a thread nor a connection to the database."""
    after = 0
    while some := list(rows.filter(pk__gt=after)[:ROWS_AT_ONCE]):
        after = some[-1]["id"]
        yield b"".join(map(written, some))


def _text(row: dict[str, Any]) -> bytes:
    return f"{moment(row['at'])} {row['stream']:<8} {row['text']}\n".encode()


def _json(row: dict[str, Any]) -> bytes:
    return orjson.dumps(payloads.log_row(row), option=orjson.OPT_APPEND_NEWLINE)


_FORMS: dict[str, tuple[Any, str, str]] = {
    PlainTextRenderer.format: (_text, PlainTextRenderer.media_type, "log"),
    JSONLinesRenderer.format: (_json, JSONLinesRenderer.media_type, "jsonl"),
}
