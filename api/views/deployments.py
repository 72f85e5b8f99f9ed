from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.doors import Door
from api.pagination import PAGED, NewestFirst
from api.parsers import JSONParser
from api.query import Asked, Choice, Number
from api.serializers import DeploymentDetail, DeploymentSerializer, RunSerializer
from api.small_serializers import ComparisonShape, DiagnosisShape
from api.views import runbooks
from api.views.access import actor_of, deployment_accepted, deployments_of, server_of
from hosting.errors import Invalid
from hosting.tool_changes import ToolChanges
from servers import approvals, comparison, services
from servers.models import Deployment, Run
from servers.states import DeploymentStatus, Trigger

STATUS = Choice("status", among=[s.value for s in DeploymentStatus], many=True)
WITH = Number("with", "Number of the other deployment.", low=1)


@extend_schema_view(list=extend_schema(responses=DeploymentSerializer(many=True)))
class DeploymentViewSet(Door, viewsets.ReadOnlyModelViewSet[Deployment]):
    """Deployments of every server that you see, newest first; one of them with its steps."""

    serializer_class = DeploymentDetail
    pagination_class = NewestFirst
    queryset = Deployment.objects.none()
    asks = {"list": (*PAGED, STATUS), "compare": (WITH,)}
    lookup_value_regex = "[0-9]+"

    def get_queryset(self) -> QuerySet[Deployment]:
        rows = deployments_of(self.request)
        return _with_status(rows, self.asked) if self.action == "list" else rows.prefetch_related("steps")

    def get_serializer_class(self) -> type[DeploymentSerializer]:
        return DeploymentSerializer if self.action == "list" else DeploymentDetail

    @extend_schema(request=None, responses={202: DeploymentSerializer})
    @action(detail=True, methods=["post"], parser_classes=[JSONParser])
    def cancel(self, request: Request, pk: str) -> Response:
        """Ends it now where it is queued, asks it to stop where it runs."""
        return deployment_accepted(
            services.cancel(deployment=self.get_object(), by=actor_of(request)), request
        )

    @extend_schema(responses=DiagnosisShape)
    @action(detail=True, methods=["get"])
    def runbook(self, request: Request, pk: str) -> Response:
        """What failed, what it means and what to do about it; `name` is null where nothing is wrong."""
        return Response(runbooks.as_json(self.get_object(), request))

    @extend_schema(request=None, responses={202: DeploymentSerializer}, parameters=[runbooks.ACTION])
    @action(
        detail=True, methods=["post"], url_path="runbook/(?P<remedy>[a-z-]+)", parser_classes=[JSONParser]
    )
    def remedy(self, request: Request, pk: str, remedy: str) -> Response:
        """Takes one action of the runbook: the deployment that it queued, this one where it queued none. What
        it needs is looked at now; 409 says why it makes no sense (any more)."""
        return runbooks.taken(self.get_object(), remedy, request)

    @extend_schema(request=None, responses={202: DeploymentSerializer})
    @action(detail=True, methods=["post"], parser_classes=[JSONParser])
    def approve(self, request: Request, pk: str) -> Response:
        """Serves what waits because its tools changed; the answer is the deployment that does it."""
        made = approvals.approve(deployment=self.get_object(), by=actor_of(request), trigger=Trigger.API)
        return deployment_accepted(made, request)

    @extend_schema(request=None, responses={202: DeploymentSerializer})
    @action(detail=True, methods=["post"], parser_classes=[JSONParser])
    def decline(self, request: Request, pk: str) -> Response:
        """Gives up what waits because its tools changed; what serves goes on."""
        declined = approvals.decline(deployment=self.get_object(), by=actor_of(request))
        return deployment_accepted(declined, request)

    @extend_schema(responses=ComparisonShape)
    @action(detail=True, methods=["get"])
    def compare(self, request: Request, pk: str) -> Response:
        """Beside another deployment of the same server: by default the newest earlier one that succeeded."""
        return Response(_comparison(self.get_object(), self.asked["with"]))


class ServerDeployments(Door, generics.ListAPIView[Deployment]):
    """A server's deployments, newest first."""

    serializer_class = DeploymentSerializer
    pagination_class = NewestFirst
    queryset = Deployment.objects.none()
    asks = {"get": (*PAGED, STATUS)}

    def get_queryset(self) -> QuerySet[Deployment]:
        server = server_of(self.request, self.kwargs["pk"])
        return _with_status(deployments_of(self.request).filter(server=server), self.asked)


class ServerRuns(Door, generics.ListAPIView[Run]):
    """Each start of a server, newest first: those of its deployments, and its restarts."""

    serializer_class = RunSerializer
    pagination_class = NewestFirst
    queryset = Run.objects.none()
    asks = {"get": PAGED}

    def get_queryset(self) -> QuerySet[Run]:
        server = server_of(self.request, self.kwargs["pk"])
        rows = Run.objects.filter(deployment__server=server).select_related("deployment")
        return rows.defer("deployment__facts", "deployment__discovery")


def _with_status(rows: QuerySet[Deployment], asked: Asked) -> QuerySet[Deployment]:
    statuses = asked["status"]
    return rows.filter(status__in=statuses) if statuses else rows


def _comparison(deployment: Deployment, number: int | None) -> dict[str, Any]:
    other = comparison.other_of(deployment, str(number or ""))
    if other is None:
        raise Invalid(f"#{deployment.number} has no earlier one to be compared with.", field="with")
    found = comparison.compare(deployment, other)
    known = found.configuration_known
    return {
        "before": found.before.number,
        "after": found.after.number,
        "facts": [asdict(row) for row in found.facts],
        "durations": [asdict(took) for took in found.durations],
        "plan": [asdict(row) for row in found.plan] if found.plan_known else None,
        "environment": asdict(found.environment) if known else None,
        "secrets": asdict(found.secrets) if known else None,
        "settings": [asdict(row) for row in found.settings] if known else None,
        "tools": _tools(found.tools) if found.tools_known else None,
    }


def _tools(changes: ToolChanges) -> dict[str, Any]:
    return {
        "added": list(changes.added),
        "removed": list(changes.removed),
        "changed": [{**asdict(change), "breaking": change.breaking} for change in changes.changed],
    }
