from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.query import Asked, Choice, Moment
from api.strict import Shape
from api.views.access import ServerView
from metrics import summary
from metrics.payload import moment

MOST_DAYS = {"hour": 31, "day": 366}
USUAL_DAYS = {"hour": 1, "day": 30}
PARAMETERS = (
    Moment("since", "Included; by default a day, or 30 days, before `until`."),
    Moment("until", "Not included; by default now."),
    Choice("interval", among=list(summary.INTERVALS), default="hour"),
)


class Figures(Shape):
    """Times in ms, from the request's arrival to the answer's end; null where there were no calls."""

    calls = serializers.IntegerField()
    errors = serializers.IntegerField(  # type: ignore[assignment]  # a field, not the serializer's own
        help_text="tool_error, rpc_error, http_error and timeout together."
    )
    outcomes = serializers.DictField(child=serializers.IntegerField())
    bytes_in = serializers.IntegerField()
    bytes_out = serializers.IntegerField()
    mean_ms = serializers.IntegerField(allow_null=True)
    p50_ms = serializers.IntegerField(allow_null=True)
    p95_ms = serializers.IntegerField(allow_null=True)
    p99_ms = serializers.IntegerField(allow_null=True)


class FiguresInTime(Figures):
    time = serializers.DateTimeField(help_text="When the interval begins; UTC.")


class FiguresByName(Figures):
    method = serializers.CharField()
    name = serializers.CharField(help_text="Tool or prompt; “*” for those beyond 200 in an hour.")


class UsageShape(Shape):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    interval = serializers.ChoiceField(choices=list(summary.INTERVALS))
    total = Figures()
    series = FiguresInTime(many=True)
    by_name = FiguresByName(many=True)


class Usage(ServerView):
    """Calls of a server by hour or day and by tool. New calls appear within a minute."""

    asks = {"get": PARAMETERS}

    @extend_schema(responses=UsageShape)
    def get(self, request: Request, pk: int) -> Response:
        server, interval = self.server(), self.asked["interval"]
        since, until = _range(self.asked, interval)
        found = summary.of_server(server.pk, since=since, until=until, interval=interval)
        series = [{**each, "time": moment(each["time"])} for each in found["series"]]
        about = {"since": moment(since), "until": moment(until), "interval": interval}
        return Response({**about, **found, "series": series})


def _range(asked: Asked, interval: str) -> tuple[datetime, datetime]:
    until = asked["until"] or timezone.now()
    since = asked["since"] or _before(until, timedelta(days=USUAL_DAYS[interval]))
    if since >= until:
        raise ValidationError({"since": "Must be before until."})
    if until - since > timedelta(days=MOST_DAYS[interval]):
        raise ValidationError({"since": f"At most {MOST_DAYS[interval]} days at once by {interval}."})
    return summary.floor(since, interval), until


def _before(moment: datetime, span: timedelta) -> datetime:
    try:
        return moment - span
    except OverflowError:
        raise ValidationError({"until": "Too early: the calendar does not go back that far."}) from None
