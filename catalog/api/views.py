"""The REST API of the catalog. The docstrings of views are descriptions in the OpenAPI schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from access import roles
from api.doors import Door
from api.query import Text
from api.serializers import ChangedServer
from api.views.access import actor_of, changed_server, server_of, user_of
from catalog import registry, services
from catalog.api import serializers
from catalog.plan import BadAnswers
from hosting.errors import Invalid
from servers.models import Server
from servers.states import Trigger


class Adding(Door):
    """For people who may add servers: an import makes one, and a preview fetches from the network."""

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        if not roles.may_add(request.user):
            raise PermissionDenied("You may not add servers.")


class PreviewView(Adding):
    """Reads a server.json: its packages, which of them can be hosted here, and what they ask for."""

    @extend_schema(request=serializers.Where, responses=serializers.Preview)
    def post(self, request: Request) -> Response:
        wanted = serializers.Where(data=request.data)
        wanted.is_valid(raise_exception=True)
        return Response(serializers.preview(wanted.found()))


class ImportView(Adding):
    """Makes a server of a server.json and of the answers to its questions."""

    @extend_schema(request=serializers.Import, responses={201: serializers.Imported})
    def post(self, request: Request) -> Response:
        wanted = serializers.Import(data=request.data)
        wanted.is_valid(raise_exception=True)
        given, found = wanted.validated_data, wanted.found()
        option = services.chosen(found.document, given.get("package"))
        with _answers_named():
            server, _ = services.import_server(
                found=found,
                option=option,
                answers=given.get("answers", {}),
                by=actor_of(request),
                trigger=Trigger.API,
                name=given.get("server_name", ""),
                slug=given.get("slug", ""),
                deploy=given["deploy"],
                build=given.get("build", {}),
            )
        return _shown(request, server, 201)


class SearchView(Adding):
    """Looks for a name at the registry API that CATALOG_REGISTRY_URL names."""

    asks = {"get": (Text("q", "Part of the server's name.", required=True),)}

    @extend_schema(
        responses={(200, "application/json"): {"type": "object", "additionalProperties": True}},
        operation_id="catalog_search",
    )
    def get(self, request: Request) -> Response:
        text = self.asked["q"].strip()
        if not text:
            raise Invalid("Say what to look for.", field="q")
        found = [
            {"name": e.name, "version": e.version, "title": e.title, "description": e.description,
             "status": e.status, "packages": list(e.packages)}
            for e in registry.search(text)
        ]  # fmt: skip
        return Response({"registry": registry.base_url(), "results": found})


class NewerView(Door):
    """Whether the registry that a server came from has a newer version."""

    @extend_schema(responses={200: serializers.Newer, 409: None})
    def get(self, request: Request, pk: int) -> Response:
        server = _operable(request, pk)
        found = services.newer(server)
        current = {"current": server.origin["version"], "newer": found is not None}
        here = found or services.Found(_stub(server))
        return Response({**serializers.preview(here), **current})


class UpdateView(Door):
    """Moves a server to the newest version; answers that are not given stay as they were."""

    @extend_schema(request=serializers.Update, responses={202: ChangedServer})
    def post(self, request: Request, pk: int) -> Response:
        server, wanted = _operable(request, pk), serializers.Update(data=request.data)
        wanted.is_valid(raise_exception=True)
        found = services.newer(server)
        if found is None:
            raise Invalid(f"{server.name} is at the newest version, {server.origin['version']}.")
        option = services.same_package(server, found.document)
        answers = {**services.old_answers(server, option), **wanted.validated_data.get("answers", {})}
        with _answers_named():
            changed, _ = services.update(
                server=server, found=found, option=option, answers=answers, by=actor_of(request),
                trigger=Trigger.API, deploy=wanted.validated_data["deploy"],
            )  # fmt: skip
        return changed_server(request, changed, 202)


@contextmanager
def _answers_named() -> Iterator[None]:
    """Names each answer at fault, as the other doors name fields."""
    try:
        yield
    except BadAnswers as error:
        raise ValidationError({"answers": error.problems}) from error


def _stub(server: Server) -> dict[str, Any]:
    origin = server.origin
    return {
        "name": origin["name"],
        "version": origin["version"],
        "description": origin["description"],
        "packages": [origin["package"]],
    }


def _operable(request: Request, pk: int) -> Server:
    server = server_of(request, pk)
    if not server.is_operable_by(user_of(request)):
        raise PermissionDenied("You may look at this server, and not change it.")
    return server


def _shown(request: Request, server: Server, status: int) -> Response:
    body = serializers.Imported(server_of(request, server.pk), context={"request": request}).data
    return Response(body, status, headers={"Location": body["url"]})
