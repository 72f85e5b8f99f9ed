from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
from servers import payloads
from servers.api.pagination import limit_of, number_of
from servers.api.renderers import JSONRenderer, PlainTextRenderer
from servers.api.small_serializers import LogPage
from servers.api.views.access import ServerView
from servers.models import LogLine, Server
from servers.models.log import LogStream

PARAMETERS = [
    OpenApiParameter("deployment", int, description="Lines of this deployment (its id)."),
    OpenApiParameter("stream", enum=LogStream.values, many=True),
    OpenApiParameter("after", int, description="Lines kept after the line of this id."),
    OpenApiParameter("before", int, description="Lines kept before the line of this id."),
    OpenApiParameter("tail", int, description="The last so many lines (to 1000)."),
    OpenApiParameter("limit", int, description="Lines on a page (JSON): 1 to 1000, by default 100."),
]
Rows = QuerySet[LogLine, dict[str, Any]]


class Logs(ServerView):
    """Log lines of builds and runs, oldest first; as text/plain the whole range is one download."""

    renderer_classes = [JSONRenderer, PlainTextRenderer]

    @extend_schema(
        parameters=PARAMETERS,
        responses={(200, "application/json"): LogPage, (200, "text/plain"): OpenApiTypes.STR},
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        server = self.server()
        rows, tail = _range(server, request), number_of(request, "tail", low=1, high=1000)
        if tail:
            rows = rows.filter(pk__in=list(rows.order_by("-pk").values_list("pk", flat=True)[:tail]))
        if getattr(request.accepted_renderer, "format", "") == PlainTextRenderer.format:
            return _download(server, rows)
        return Response(_page(request, rows, tail or limit_of(request)))


def _range(server: Server, request: Request) -> Rows:
    lines = LogLine.objects.filter(server=server).order_by("pk")
    if (deployment := number_of(request, "deployment")) is not None:
        lines = lines.filter(deployment=deployment)
    if streams := request.query_params.getlist("stream"):
        lines = lines.filter(stream__in=_known(streams))
    if (after := number_of(request, "after")) is not None:
        lines = lines.filter(pk__gt=after)
    if (before := number_of(request, "before")) is not None:
        lines = lines.filter(pk__lt=before)
    rows: Rows = lines.values(*payloads.LOG_COLUMNS)
    return rows


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


def _download(server: Server, rows: Rows) -> StreamingHttpResponse:
    response = StreamingHttpResponse(_text(rows), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{server.slug}.log"'
    return response


def _text(rows: Rows) -> Iterator[str]:
    for row in rows.iterator(chunk_size=2000):
        yield f"{moment(row['at'])} {row['stream']:<8} {row['text']}\n"
