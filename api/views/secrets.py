from __future__ import annotations

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.fields import checked, refuse_reserved
from api.query import Choice
from api.small_serializers import SecretSerializer, SecretValue
from api.views.access import ServerView, actor_of
from servers import services
from servers.models.server import ENVIRONMENT_NAME, SecretPurpose

PURPOSE = Choice(
    "purpose",
    "`source`: the credential for the source, named GIT_TOKEN.",
    among=SecretPurpose.values,
    default=SecretPurpose.ENVIRONMENT.value,
)


class Secrets(ServerView):
    """Names of a server's secrets. Values are never shown."""

    @extend_schema(responses=SecretSerializer(many=True), operation_id="servers_secrets_list")
    def get(self, request: Request, pk: int) -> Response:
        rows = self.server().secrets.select_related("updated_by")
        return Response(SecretSerializer(rows, many=True).data)


class OneSecret(ServerView):
    asks = {"put": (PURPOSE,), "delete": (PURPOSE,)}

    @extend_schema(request=SecretValue, responses=SecretSerializer)
    def put(self, request: Request, pk: int, name: str) -> Response:
        """Sets or replaces the value; a running server sees it with its next deployment."""
        server, purpose, wanted = self.server(), self.asked["purpose"], SecretValue(data=request.data)
        wanted.is_valid(raise_exception=True)
        checked(lambda: ENVIRONMENT_NAME(name))
        if purpose == SecretPurpose.ENVIRONMENT:
            refuse_reserved(name)
        secret = services.set_secret(
            server=server,
            name=name,
            value=wanted.validated_data["value"],
            by=actor_of(request),
            purpose=purpose,
            meant_for=wanted.validated_data["origin"],
        )
        return Response(SecretSerializer(secret).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int, name: str) -> Response:
        secret = get_object_or_404(self.server().secrets, name=name, purpose=self.asked["purpose"])
        services.remove_secret(secret=secret, by=actor_of(request))
        return Response(status=204)
