from __future__ import annotations

from datetime import datetime

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from metrics import pages, payload, recorder
from servers import events
from servers.api import examples
from servers.api.moments import aware, moment_of
from servers.api.pagination import decode, limit_of, number_of, page
from servers.api.small_serializers import CustomMetric, MetricPage, MetricShape
from servers.api.views.access import ServerView

PARAMETERS = [
    OpenApiParameter("event_type", many=True, description="Repeat it for several."),
    OpenApiParameter("platform", many=True, description="For example linux/arm64."),
    OpenApiParameter("deployment", int, description="Its id."),
    OpenApiParameter("since", datetime, description="Included."),
    OpenApiParameter("until", datetime, description="Not included."),
    OpenApiParameter("cursor", description="From `next` of a page."),
    OpenApiParameter("limit", int, description="1 to 1000, by default 100."),
]


class Metrics(ServerView):
    """Usage metrics of the telemetry contract, newest first; the live feed sends the same objects."""

    @extend_schema(parameters=PARAMETERS, responses=MetricPage, examples=[examples.METRIC])
    def get(self, request: Request, pk: int) -> Response:
        results, key = pages.read(
            self.server().pk, _wanted(request), limit=limit_of(request), after=_after(request)
        )
        return Response(page(request, results, [payload.moment(key[0]), key[1]] if key else None))

    @extend_schema(request=CustomMetric, responses={201: MetricShape})
    def post(self, request: Request, pk: int) -> Response:
        """Records a metric of your own; `event_type` starts with `custom.`."""
        server, given = self.server(), CustomMetric(data=request.data)
        given.is_valid(raise_exception=True)
        metric = recorder.record(server_id=server.pk, deployment_id=None, **given.validated_data)
        events.metric_recorded(metric)
        return Response(payload.of(metric), 201)


def _wanted(request: Request) -> pages.Wanted:
    asked = request.query_params
    return pages.Wanted(
        event_types=asked.getlist("event_type"),
        platforms=asked.getlist("platform"),
        deployment=number_of(request, "deployment"),
        since=moment_of(request, "since"),
        until=moment_of(request, "until"),
    )


def _after(request: Request) -> pages.Key | None:
    cursor = request.query_params.get("cursor")
    if not cursor:
        return None
    timestamp, pk = decode(cursor, str, int)
    return aware(timestamp, "cursor"), pk
