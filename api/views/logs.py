from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from api.pagination import LIMIT, MOST
from api.query import Asked, Choice, Moment, Number, Text
from api.renderers import JSONLinesRenderer, JSONRenderer, PlainTextRenderer
from api.small_serializers import LogPage
from api.views.access import ServerView
from metrics.payload import moment
from servers import levels, payloads
from servers.models import LogLine, Server
from servers.models.log import LogLineQuerySet, LogStream

ROWS_AT_ONCE = 2000
CHOSEN = (
    Text("search", "Lines that hold this text, in letters of either case."),
    Choice("level", "Lines that claim this level or a higher one.", among=levels.LEVELS),
    Moment("since", "Lines written from then on."),
    Moment("until", "Lines written before."),
    Number("deployment", "Lines of this deployment (its id)."),
    Number("step", "Lines of this step (its id)."),
    Choice("stream", among=LogStream.values, many=True),
    Number("after", "Lines kept after the line of this id."),
    Number("before", "Lines kept before the line of this id."),
)
PAGED = (
    Number("tail", "The last so many lines.", low=1, high=MOST),
    replace(LIMIT, description="Lines on a page (JSON)."),
)
IN_PAGES = Choice("format", "text: the whole range as one text.", among=["json", "text"])
AS_FILE = Choice("format", "jsonl is a line of JSON for each line.", among=["text", "jsonl"], default="text")
Rows = QuerySet[LogLine, dict[str, Any]]


class Logs(ServerView):
    """Log lines of builds and runs, oldest first; as text/plain the whole range is one download."""

    renderer_classes = [JSONRenderer, PlainTextRenderer]

    asks = {"get": (*CHOSEN, *PAGED, IN_PAGES)}

    @extend_schema(
        responses={(200, "application/json"): LogPage, (200, "text/plain"): OpenApiTypes.STR},
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        server = self.server()
        rows, tail = _chosen(server, self.asked), self.asked["tail"]
        if tail:
            rows = rows.filter(pk__in=list(rows.order_by("-pk").values_list("pk", flat=True)[:tail]))
        if _format(request) == PlainTextRenderer.format:
            return _download(server, rows, PlainTextRenderer.format)
        return Response(_page(request, rows, tail or self.asked["limit"]))


class LogDownload(ServerView):
    """The same lines as one file, written while it is sent, however long it is."""

    renderer_classes = [PlainTextRenderer, JSONLinesRenderer]

    asks = {"get": (*CHOSEN, AS_FILE)}

    @extend_schema(
        responses={(200, "text/plain"): OpenApiTypes.STR, (200, "application/jsonl"): OpenApiTypes.STR},
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        server = self.server()
        return _download(server, _chosen(server, self.asked), _format(request))


def _format(request: Request) -> str:
    return str(getattr(request.accepted_renderer, "format", ""))


def _chosen(server: Server, asked: Asked) -> Rows:
    lines: LogLineQuerySet = LogLine.objects.filter(server=server).order_by("pk")
    lines = lines.between(asked["since"], asked["until"])
    lines = lines.holding(asked["search"] or "").at_least(asked["level"] or "")
    if streams := asked["stream"]:
        lines = lines.filter(stream__in=streams)
    names = {"deployment": "deployment", "step": "step", "after": "pk__gt", "before": "pk__lt"}
    given = {lookup: asked[name] for name, lookup in names.items()}
    lines = lines.filter(**{lookup: number for lookup, number in given.items() if number is not None})
    rows: Rows = lines.values(*payloads.LOG_COLUMNS)
    return rows


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
    """One query per piece: between two pieces a slow reader holds neither a thread nor a connection."""
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
