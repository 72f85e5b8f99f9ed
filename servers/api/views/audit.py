from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from access.models import AuditEntry, Via
from servers.api.access_serializers import AuditEntrySerializer
from servers.api.moments import moment_of
from servers.api.pagination import NewestFirst, number_of
from servers.api.views.access import user_of
from servers.audit import entries_for

FILTERS = [
    OpenApiParameter("server", int, description="Its id; entries of servers that are gone as well."),
    OpenApiParameter("actor", description="User name."),
    OpenApiParameter("action", many=True, description="Such as server.changed; repeat it for several."),
    OpenApiParameter("via", enum=Via.values),
    OpenApiParameter("since", datetime, description="Included."),
    OpenApiParameter("until", datetime, description="Not included."),
]


class Audit(generics.ListAPIView[AuditEntry]):
    """Who changed what, newest first: of servers that you operate; everything for administrators."""

    serializer_class = AuditEntrySerializer
    pagination_class = NewestFirst
    queryset = AuditEntry.objects.none()

    def get_queryset(self) -> QuerySet[AuditEntry]:
        return _filtered(entries_for(user_of(self.request)), self.request)

    @extend_schema(parameters=FILTERS)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


def _filtered(entries: QuerySet[AuditEntry], request: Request) -> QuerySet[AuditEntry]:
    asked = request.query_params
    if (server := number_of(request, "server")) is not None:
        entries = entries.filter(server_id=server)
    if actions := asked.getlist("action"):
        entries = entries.filter(action__in=actions)
    exact = {name: asked[name] for name in ("actor", "via") if asked.get(name)}
    moments = {"at__gte": moment_of(request, "since"), "at__lt": moment_of(request, "until")}
    return entries.filter(**exact, **{key: at for key, at in moments.items() if at is not None})
