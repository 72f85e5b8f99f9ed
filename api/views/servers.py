from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from access import roles
from api import examples, multipart
from api.doors import Door
from api.pagination import PAGED, NewestFirst
from api.parsers import JSONParser
from api.query import Asked, Choice, Text
from api.serializers import (
    ChangedServer,
    DeploymentSerializer,
    NewServer,
    Redeploy,
    RollBack,
    ServerSerializer,
)
from api.views.access import (
    actor_of,
    changed_server,
    deployment_accepted,
    server_accepted,
    server_of,
    servers_of,
)
from hosting.errors import Conflict, Invalid
from servers import intake, services, uploads
from servers.front.larger import takes_files
from servers.models import Deployment, Server
from servers.models.server import SourceKind
from servers.push_options import PushOptions
from servers.states import Mode, ServerStatus, Trigger
from servers.uploads import Archive

FILTERS = (
    Choice("status", among=[s.value for s in ServerStatus], many=True),
    Text("search", "Part of the name or of the slug."),
    Text("owner", "User name."),
)
BY_JSON = {"application/json": ServerSerializer}
QUEUED = extend_schema(request=None, responses={202: DeploymentSerializer})


@extend_schema_view(
    update=extend_schema(request=BY_JSON, responses=ChangedServer),
    partial_update=extend_schema(request=BY_JSON, responses=ChangedServer),
    destroy=extend_schema(responses={202: ServerSerializer}),
)
class ServerViewSet(Door, viewsets.ModelViewSet[Server]):
    """MCP servers that you see: your own, those of your teams, all of them for administrators."""

    serializer_class = ServerSerializer
    pagination_class = NewestFirst
    parser_classes = [JSONParser, MultiPartParser]
    lookup_value_regex = "[0-9]+"
    queryset = Server.objects.none()
    asks = {"list": (*PAGED, *FILTERS)}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        multipart.limit_uploads(request)
        return super().initialize_request(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Server]:
        servers = servers_of(self.request)
        return _filtered(servers, self.asked) if self.action == "list" else servers

    @takes_files(uploads.largest)
    @extend_schema(
        request={"application/json": NewServer, "multipart/form-data": examples.NEW_SERVER_FORM},
        responses={201: ServerSerializer},
        examples=examples.NEW_SERVERS,
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if not roles.may_add(request.user):
            raise PermissionDenied("Adding servers is for operators: ask an administrator for that role.")
        file = multipart.archive_of(request)
        context = {**self.get_serializer_context(), "archive": file}
        wanted = NewServer(data=multipart.fields_of(request), context=context)
        wanted.is_valid(raise_exception=True)
        with _received(file) as archive:
            server = _take_in(dict(wanted.validated_data), archive, request)
        body = self.get_serializer(server_of(request, server.pk)).data
        return Response(body, 201, headers={"Location": body["url"]})

    def perform_update(self, serializer: Any) -> None:
        fields = dict(serializer.validated_data)
        token = fields.pop("token", "")
        by = actor_of(self.request)
        serializer.instance = intake.change(server=serializer.instance, fields=fields, token=token, by=by)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        partial = kwargs.get("partial", False)
        wanted: Any = self.get_serializer(self.get_object(), data=request.data, partial=partial)
        wanted.is_valid(raise_exception=True)
        self.perform_update(wanted)
        return changed_server(request, wanted.instance)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        server = self.get_object()
        services.delete(server=server, by=actor_of(request))
        return server_accepted(server, request)

    @takes_files(uploads.largest)
    @extend_schema(request=examples.ARCHIVE_FORM, responses={200: ChangedServer})
    @action(detail=True, methods=["post"], parser_classes=[MultiPartParser])
    def archive(self, request: Request, pk: str) -> Response:
        """Makes an uploaded archive (.tar.gz, .tgz, .tar, .zip) the source; redeploy to run it."""
        server, file = self.get_object(), multipart.required_archive(request)
        with _received(file) as archive:
            assert archive
            changed = intake.attach(server=server, archive=archive, by=actor_of(request))
        return changed_server(request, changed)

    @QUEUED
    @action(detail=True, methods=["post"], parser_classes=[JSONParser])
    def start(self, request: Request, pk: str) -> Response:
        """Starts what was built last, or deploys where nothing was built."""
        server = self.get_object()
        deployment = services.start(server=server, by=actor_of(request), trigger=Trigger.API)
        return deployment_accepted(deployment, request)

    @extend_schema(request=None, responses={202: ServerSerializer})
    @action(detail=True, methods=["post"], parser_classes=[JSONParser])
    def stop(self, request: Request, pk: str) -> Response:
        server = self.get_object()
        services.stop(server=server, by=actor_of(request))
        return server_accepted(server, request)

    @extend_schema(request=Redeploy, responses={202: DeploymentSerializer})
    @action(detail=True, methods=["post"], parser_classes=[JSONParser])
    def redeploy(self, request: Request, pk: str) -> Response:
        """Queues a deployment; what runs keeps serving until the new one is healthy."""
        server, wanted = self.get_object(), Redeploy(data=request.data)
        wanted.is_valid(raise_exception=True)
        options = dict(wanted.validated_data)
        deployment = services.deploy(
            server=server,
            by=actor_of(request),
            trigger=Trigger.API,
            mode=Mode(options.pop("mode")),
            options=PushOptions(**options),
        )
        return deployment_accepted(deployment, request)

    @QUEUED
    @action(detail=True, methods=["post"], parser_classes=[JSONParser])
    def cancel(self, request: Request, pk: str) -> Response:
        """Cancels the deployments that are queued or running."""
        server = self.get_object()
        by = actor_of(request)
        cancelled = [services.cancel(deployment=open_one, by=by) for open_one in server.deployments.open()]
        if not cancelled:
            raise Conflict(f"{server.name} has no deployment that is queued or running.")
        return deployment_accepted(cancelled[-1], request)

    @extend_schema(request=RollBack, responses={202: DeploymentSerializer})
    @action(detail=True, methods=["post"], parser_classes=[JSONParser])
    def rollback(self, request: Request, pk: str) -> Response:
        """Starts what an earlier successful deployment built."""
        server, wanted = self.get_object(), RollBack(data=request.data)
        wanted.is_valid(raise_exception=True)
        to = _numbered(server, wanted.validated_data["to"])
        return deployment_accepted(services.roll_back(server=server, to=to, by=actor_of(request)), request)


def _filtered(servers: QuerySet[Server], asked: Asked) -> QuerySet[Server]:
    if statuses := asked["status"]:
        servers = servers.filter(status__in=statuses)
    if text := asked["search"]:
        servers = servers.filter(Q(name__icontains=text) | Q(slug__icontains=text))
    if owner := asked["owner"]:
        servers = servers.filter(owner__username=owner)
    return servers


def _received(file: UploadedFile[bytes] | None) -> AbstractContextManager[Archive | None]:
    return uploads.received(file.chunks(), file.name or "") if file else nullcontext()


def _take_in(wanted: dict[str, Any], archive: Archive | None, request: Request) -> Server:
    parts = {
        key: wanted.pop(key, default) for key, default in (("secrets", None), ("token", ""), ("deploy", True))
    }
    if archive is not None:
        said = wanted["source"] if wanted["source_kind"] == SourceKind.UPLOAD else {}
        wanted |= {"source_kind": SourceKind.UPLOAD, "source": {**archive.source, **said}}
    server, _ = intake.create(
        by=actor_of(request), fields=wanted, trigger=Trigger.API, archive=archive, **parts
    )
    return server


def _numbered(server: Server, number: int) -> Deployment:
    found = server.deployments.filter(number=number).first()
    if found is None:
        raise Invalid(f"{server.name} has no deployment #{number}.", field="to")
    return found
