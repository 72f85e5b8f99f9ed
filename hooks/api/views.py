"""Webhooks and what arrived at them, over REST."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.mixins import DestroyModelMixin, RetrieveModelMixin, UpdateModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from api.doors import Door
from api.pagination import PAGED, NewestFirst
from api.query import Choice
from api.views.access import ServerView, actor_of
from hooks import services
from hooks.api.serializers import ChangedWebHook, DeliverySerializer, MadeWebHook, WebHookSerializer
from hooks.models import Delivery, Outcome, WebHook
from servers.models import Server

OUTCOME = Choice("outcome", among=Outcome.values, many=True)


class ServerHooks(ServerView):
    """Webhooks of one server."""

    @extend_schema(responses=WebHookSerializer(many=True), operation_id="servers_hooks_list")
    def get(self, request: Request, pk: int) -> Response:
        rows = WebHook.objects.filter(server=self.server()).select_related(
            "server", "created_by", "secret_by"
        )
        return Response(WebHookSerializer(rows, many=True, context={"request": request}).data)

    @extend_schema(request=WebHookSerializer, responses={201: MadeWebHook})
    def post(self, request: Request, pk: int) -> Response:
        """Makes a webhook. `secret` is shown this once."""
        server = self.server()
        wanted = WebHookSerializer(data=request.data, context={"request": request})
        wanted.is_valid(raise_exception=True)
        hook, secret = services.create(server=server, by=actor_of(request), fields=wanted.validated_data)
        body = WebHookSerializer(hook, context={"request": request}).data
        return Response({**body, "secret": secret}, 201)


@extend_schema_view(
    update=extend_schema(request=ChangedWebHook), partial_update=extend_schema(request=ChangedWebHook)
)
class HookViewSet(
    Door, RetrieveModelMixin, UpdateModelMixin, DestroyModelMixin, viewsets.GenericViewSet[WebHook]
):
    """One webhook: its filters, and whether it is on."""

    serializer_class = ChangedWebHook
    queryset = WebHook.objects.none()
    lookup_value_regex = "[0-9]+"

    def get_queryset(self) -> QuerySet[WebHook]:
        return (
            WebHook.objects.all()
            .visible_to(self.request.user)
            .select_related("server", "created_by", "secret_by")
        )

    def get_object(self) -> WebHook:
        hook = super().get_object()
        if self.request.method not in ("GET", "HEAD", "OPTIONS"):
            operated(hook.server, self.request)
        return hook

    def perform_update(self, serializer: Any) -> None:
        fields = serializer.validated_data
        services.change(hook=serializer.instance, by=actor_of(self.request), fields=fields)

    def perform_destroy(self, instance: WebHook) -> None:
        services.remove(hook=instance, by=actor_of(self.request))

    @extend_schema(request=None, responses=MadeWebHook)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """A new secret, shown this once; the one before is accepted for a day beside it."""
        hook = self.get_object()
        secret = services.rotate(hook=hook, by=actor_of(request))
        return Response({**self.get_serializer(self.get_object()).data, "secret": secret})


class HookDeliveries(Door, generics.ListAPIView[Delivery]):
    """What arrived at a webhook, newest first."""

    serializer_class = DeliverySerializer
    pagination_class = NewestFirst
    queryset = Delivery.objects.none()
    asks = {"get": (*PAGED, OUTCOME)}

    def get_queryset(self) -> QuerySet[Delivery]:
        hook = WebHook.objects.visible_to(self.request.user).filter(pk=self.kwargs["pk"]).first()
        if hook is None:
            raise Http404
        rows = hook.deliveries.select_related("requested_by").defer("push")
        outcomes = self.asked["outcome"]
        return rows.filter(outcome__in=outcomes) if outcomes else rows

    @extend_schema(operation_id="hooks_deliveries_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class Redeliver(Door):
    """`POST /api/hooks/{hook}/deliveries/{id}/redeliver/`."""

    @extend_schema(
        request=None, responses={202: DeliverySerializer}, operation_id="hooks_deliveries_redeliver"
    )
    def post(self, request: Request, pk: int, delivery: int) -> Response:
        """Decides anew about what was kept of it, with the filters of now."""
        rows = Delivery.objects.visible_to(request.user).select_related("hook__server")
        found = rows.filter(pk=delivery, hook=pk).first()
        if found is None:
            raise Http404
        operated(found.hook.server, request)
        again = services.deliver_again(delivery=found, by=actor_of(request))
        return Response(DeliverySerializer(again).data, 202)


def operated(server: Server, request: Request) -> Server:
    """The server, for whoever operates it; viewers get 403."""
    if not server.is_operable_by(request.user):
        raise PermissionDenied("You see this server, but do not operate it.")
    return server
