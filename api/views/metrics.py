from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api import examples
from api.pagination import PAGED, decode, not_ours, page
from api.query import Asked, Moment, Number, Text, aware
from api.small_serializers import CustomMetric, MetricPage, MetricShape
from api.views.access import ServerView
from metrics import pages, payload, recorder
from servers import events

FILTERS = (
    Text("event_type", "Repeat it for several.", many=True),
    Text("platform", "For example linux/arm64.", many=True),
    Number("deployment", "Its id."),
    Moment("since", "Included."),
    Moment("until", "Not included."),
)


class Metrics(ServerView):
    """Usage metrics of the telemetry contract, newest first; the live feed sends the same objects."""

    asks = {"get": (*PAGED, *FILTERS)}

    @extend_schema(responses=MetricPage, examples=[examples.METRIC])
    def get(self, request: Request, pk: int) -> Response:
        results, key = pages.read(
            self.server().pk,
            _wanted(self.asked),
            limit=self.asked["limit"],
            after=_after(self.asked["cursor"]),
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


def _wanted(asked: Asked) -> pages.Wanted:
    return pages.Wanted(
        event_types=asked["event_type"],
        platforms=asked["platform"],
        deployment=asked["deployment"],
        since=asked["since"],
        until=asked["until"],
    )


def _after(cursor: str | None) -> pages.Key | None:
    if not cursor:
        return None
    timestamp, pk = decode(cursor, str, int)
    try:
        return aware(timestamp), pk
    except ValidationError:
        raise not_ours() from None
