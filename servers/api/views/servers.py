from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from servers import intake, services, uploads
from servers.api import examples, multipart
from servers.api.fields import checked
from servers.api.pagination import NewestFirst
from servers.api.serializers import DeploymentSerializer, NewServer, Redeploy, RollBack, ServerSerializer
from servers.api.views.access import deployment_accepted, server_accepted, servers_of, user_of
from servers.errors import Conflict
from servers.models import Server
from servers.states import DeploymentStatus, Mode, ServerStatus, Trigger
from servers.uploads import Archive

ACCEPTED = {202: DeploymentSerializer}
FILTERS = [
    OpenApiParameter("status", enum=[s.value for s in ServerStatus], many=True),
    OpenApiParameter("search", description="Part of the name or slug."),
    OpenApiParameter("owner", description="User name; for staff."),
]


@extend_schema_view(
    list=extend_schema(parameters=FILTERS),
    update=extend_schema(request=ServerSerializer),
    partial_update=extend_schema(request=ServerSerializer),
)
class ServerViewSet(viewsets.ModelViewSet[Server]):
    serializer_class = ServerSerializer
    pagination_class = NewestFirst
    parser_classes = [JSONParser]
    lookup_value_regex = "[0-9]+"
    lookup_value_converter = "int"
    queryset = Server.objects.none()

    def get_queryset(self) -> QuerySet[Server]:
        return servers_of(self.request)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return filtered(queryset, self.request) if self.action == "list" else queryset

    def get_parsers(self) -> list[Any]:
        creating = getattr(self, "action_map", None) and self.request_method() == "post" and self.is_list()
        return [JSONParser(), MultiPartParser(), FormParser()] if creating else super().get_parsers()
