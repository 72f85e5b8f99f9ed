"""Views for unknown addresses, and views that only describe the live feeds for the schema."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import APIException, NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from api.doors import Door
from api.query import Text

LAST = OpenApiParameter("Last-Event-ID", location=OpenApiParameter.HEADER, description="Resume after it.")
_TEXT = {"type": "string"}
EVENTS = {
    (200, "text/event-stream"): {
        "type": "object",
        "description": "One event; `data` is JSON, or empty when the stream opens.",
        "required": ["event", "id", "data"],
        "properties": {"event": _TEXT, "id": _TEXT, "data": _TEXT},
    }
}
LAST_IN_QUERY = Text("lastEventId", "The same, where no header can be set.")


class NeedsAsgi(APIException):
    status_code = 501
    default_detail = "The live feed is served over ASGI: start the platform with `manage.py up`."


class Nothing(APIView):
    """Every other path below /api/."""

    permission_classes = [AllowAny]
    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        hint = "" if request.path.endswith("/") else " Paths end with a slash."
        raise NotFound(f"There is nothing at {request.path}.{hint}")


# The views below only describe the live feeds. `api.live` serves them, before Django gets the request.


class ServersStream(Door):
    asks = {"get": (LAST_IN_QUERY,)}

    @extend_schema(parameters=[LAST], responses=EVENTS)
    def get(self, request: Request) -> HttpResponse:
        """Server-sent events `status`: where each server that you see stands, whenever that changes.

        Administrators get `calls` besides, an empty object, when the sums of calls have grown.
        """
        raise NeedsAsgi


class MetricsStream(Door):
    asks = {"get": (LAST_IN_QUERY,)}

    @extend_schema(parameters=[LAST], responses=EVENTS)
    def get(self, request: Request, pk: int) -> HttpResponse:
        """Server-sent events `metric`: each is the object that `metrics/` lists."""
        raise NeedsAsgi


class LogsStream(Door):
    asks = {"get": (LAST_IN_QUERY,)}

    @extend_schema(parameters=[LAST], responses=EVENTS)
    def get(self, request: Request, pk: int) -> HttpResponse:
        """Server-sent events `log`: each a list of lines as `logs/` shows them."""
        raise NeedsAsgi
