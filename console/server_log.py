"""The lines that the log page of a server shows at first, by the filters in its address."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, QueryDict

from console import feeds
from servers import levels
from servers.ids import LARGEST
from servers.models import LogLine, Server
from servers.models.log import LogLineQuerySet

LINES_SHOWN = 300
LEVELS = [("", "Any level"), *((level, f"{level.capitalize()} and above") for level in levels.LEVELS[1:])]


class Moment(forms.DateTimeField):
    """Minutes in UTC, as every time of a log is shown."""

    def __init__(self) -> None:
        super().__init__(required=False, input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])

    def to_python(self, value: Any) -> datetime | None:
        moment = super().to_python(value)
        return moment.replace(tzinfo=UTC) if moment else None


class Asked(forms.Form):
    """The filters in the address. Invalid ones are ignored."""

    search = forms.CharField(required=False, max_length=200, strip=False)
    level = forms.ChoiceField(required=False, choices=LEVELS)
    since = Moment()
    until = Moment()
    deployment = forms.IntegerField(required=False, min_value=1, max_value=LARGEST)
    line = forms.IntegerField(required=False, min_value=1, max_value=LARGEST)

    @classmethod
    def of(cls, query: QueryDict) -> dict[str, Any]:
        form = cls(query)
        form.is_valid()
        return {name: form.cleaned_data.get(name) for name in form.fields}


def context(request: HttpRequest, server: Server) -> dict[str, Any]:
    log_feed = feeds.of_logs(server.pk)
    asked = Asked.of(request.GET)
    lines = chosen(server, asked)
    given = {name: request.GET[name] for name in Asked.base_fields if asked[name] and name != "line"}
    return {
        "log_feed": log_feed,
        "lines": lines.around(asked["line"], LINES_SHOWN) if asked["line"] else lines.newest(LINES_SHOWN),
        "line": asked["line"],
        "given": given,
        "download": urlencode(given),
        "levels": LEVELS,
    }


def chosen(server: Server, asked: dict[str, Any]) -> LogLineQuerySet:
    lines: LogLineQuerySet = LogLine.objects.filter(server=server)
    if asked["deployment"]:
        lines = lines.filter(deployment=asked["deployment"])
    lines = lines.between(asked["since"], asked["until"])
    return lines.holding(asked["search"] or "").at_least(asked["level"] or "")
