from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from access import roles
from api import paste_serializers as shapes
from api.doors import Door
from servers import paste


class Paste(Door):
    """Reads what a README says of a server, as the body for a new one. Nothing is run, nothing fetched."""

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        if not roles.may_add(request.user):
            raise PermissionDenied("Adding servers is for operators: ask an administrator for that role.")

    @extend_schema(
        request=shapes.Pasted,
        responses=shapes.ReadText,
        examples=shapes.EXAMPLES,
        operation_id="servers_paste",
    )
    def post(self, request: Request) -> Response:
        wanted = shapes.Pasted(data=request.data)
        wanted.is_valid(raise_exception=True)
        return Response(shapes.reading(paste.read(wanted.validated_data["text"])))
