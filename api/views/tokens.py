from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from api.doors import Door
from api.pagination import PAGED, NewestFirst
from api.small_serializers import IssuedToken, TokenSerializer
from api.views.access import actor_of, servers_of, user_of
from servers import services
from servers.models import Token


class TokenViewSet(Door, viewsets.ModelViewSet[Token]):
    """Bearer tokens: scope `mcp` calls servers, scope `api` uses this API."""

    serializer_class = TokenSerializer
    pagination_class = NewestFirst
    queryset = Token.objects.none()
    asks = {"list": PAGED}
    lookup_value_regex = "[0-9]+"
    http_method_names = ["get", "post", "delete", "head", "options"]

    def get_queryset(self) -> QuerySet[Token]:
        return Token.objects.all().visible_to(user_of(self.request)).select_related("owner")

    @extend_schema(request=TokenSerializer, responses={201: IssuedToken})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Makes a token, within the bounds of the one that asks for it. `value` is shown this once."""
        wanted = TokenSerializer(data=request.data, context={"request": request})
        wanted.is_valid(raise_exception=True)
        fields: dict[str, Any] = dict(wanted.validated_data)
        server_id = fields.pop("server_id", None)
        server = servers_of(request).get(pk=server_id) if server_id is not None else None
        by = actor_of(request)
        token, value = services.issue_token(owner=by.person, by=by, server=server, **fields)
        return Response({**TokenSerializer(token).data, "value": value}, 201)

    @extend_schema(description="Revokes the token, and those that were made with it.")
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().destroy(request, *args, **kwargs)

    def perform_destroy(self, instance: Token) -> None:
        services.revoke_token(token=instance, by=actor_of(self.request))
