from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import generics

from access.models import AuditEntry, Via
from api.access_serializers import AuditEntrySerializer
from api.doors import Door
from api.pagination import PAGED, NewestFirst
from api.query import Asked, Choice, Moment, Number, Text
from api.views.access import user_of
from servers.audit import entries_for

FILTERS = [
    Number("server", "Its id; entries of servers that are gone as well."),
    Text("actor", "User name."),
    Text("action", "Such as server.changed; repeat it for several.", many=True),
    Choice("via", among=Via.values),
    Moment("since", "Included."),
    Moment("until", "Not included."),
]


class Audit(Door, generics.ListAPIView[AuditEntry]):
    """Who changed what, newest first: of servers that you operate; everything for administrators."""

    serializer_class = AuditEntrySerializer
    pagination_class = NewestFirst
    queryset = AuditEntry.objects.none()
    asks = {"get": (*PAGED, *FILTERS)}

    def get_queryset(self) -> QuerySet[AuditEntry]:
        return _filtered(entries_for(user_of(self.request)), self.asked)


LOOKUPS = {
    "server": "server_id",
    "actor": "actor",
    "action": "action__in",
    "via": "via",
    "since": "at__gte",
    "until": "at__lt",
}


def _filtered(entries: QuerySet[AuditEntry], asked: Asked) -> QuerySet[AuditEntry]:
    given: dict[str, Any] = {lookup: asked[name] for name, lookup in LOOKUPS.items()}
    return entries.filter(**{lookup: value for lookup, value in given.items() if value not in (None, "", [])})
