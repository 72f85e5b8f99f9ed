from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.channel_serializers import ChangedChannel, ChannelSerializer, MadeChannel, NoticeSerializer
from api.doors import Door
from api.pagination import PAGED, NewestFirst
from api.query import Choice, Number
from api.views.access import actor_of
from notices.models import Channel, Notice, State
from servers import channels

FILTERS = (Number("channel", "Its id."), Choice("state", among=State.values, many=True))


CHANGED = extend_schema(responses=ChangedChannel)


@extend_schema_view(update=CHANGED, partial_update=CHANGED)
class ChannelViewSet(Door, viewsets.ModelViewSet[Channel]):
    """Where notices go: your channels; all of them for administrators."""

    serializer_class = ChannelSerializer
    pagination_class = NewestFirst
    queryset = Channel.objects.none()
    asks = {"list": PAGED}
    lookup_value_regex = "[0-9]+"

    def get_queryset(self) -> QuerySet[Channel]:
        return channels.managed_by(self.request.user).prefetch_related(*channels.LISTS)

    @extend_schema(request=ChannelSerializer, responses={201: MadeChannel})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Makes a channel. `secret` is shown this once."""
        wanted = self.get_serializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        channel, secret = channels.create(by=actor_of(request), fields=wanted.validated_data)
        return Response({**self.get_serializer(channel).data, "secret": secret}, 201)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        partial = kwargs.get("partial", False)
        wanted: Any = self.get_serializer(self.get_object(), data=request.data, partial=partial)
        wanted.is_valid(raise_exception=True)
        fields: dict[str, Any] = wanted.validated_data
        _, secret = channels.change(channel=wanted.instance, by=actor_of(request), fields=fields)
        return Response({**self.get_serializer(self.get_object()).data, "secret": secret or None})

    def perform_destroy(self, instance: Channel) -> None:
        channels.remove(channel=instance, by=actor_of(self.request))

    @extend_schema(request=None, responses={202: NoticeSerializer})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Puts a test notice on its way."""
        notice = channels.test(channel=self.get_object(), by=actor_of(request))
        return Response(NoticeSerializer(notice).data, 202)

    @extend_schema(request=None, responses=MadeChannel)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """A new signing secret, shown this once; for a day the one before signs beside it."""
        secret = channels.rotate(channel=self.get_object(), by=actor_of(request))
        return Response({**self.get_serializer(self.get_object()).data, "secret": secret})


class NoticeViewSet(Door, viewsets.ReadOnlyModelViewSet[Notice]):
    """What was told, and how it fares."""

    serializer_class = NoticeSerializer
    pagination_class = NewestFirst
    queryset = Notice.objects.none()
    asks = {"list": (*PAGED, *FILTERS)}
    lookup_value_regex = "[0-9]+"

    def get_queryset(self) -> QuerySet[Notice]:
        rows = channels.notices_of(self.request.user)
        if (channel := self.asked.get("channel")) is not None:
            rows = rows.filter(channel=channel)
        if states := self.asked.get("state"):
            rows = rows.filter(state__in=states)
        return rows

    @extend_schema(request=None, responses={202: NoticeSerializer})
    @action(detail=True, methods=["post"], url_path="send-again")
    def send_again(self, request: Request, pk: str) -> Response:
        """Tries one that was given up from the start."""
        channels.send_again(notice=self.get_object(), by=actor_of(request))
        return Response(self.get_serializer(self.get_object()).data, 202)
