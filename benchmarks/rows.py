"""The rows that a deployment leaves, written for servers that the benchmarks start themselves."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from metrics.models import UsageMetric
from servers.models import Build, Deployment, Run, Server, Token
from servers.models.server import SourceKind
from servers.states import DeploymentStatus, ServerStatus, Trigger


def owner_and_token() -> str:
    owner = User.objects.create(username="bench")
    token = Token(owner=owner, name="bench")
    value = token.set_new_value()
    token.save()
    connections.close_all()
    return value


def serve(slug: str, endpoint: str) -> int:
    """Makes the server where it is new, and a deployment at `endpoint` that takes its calls; its id."""
    about = {"name": slug, "owner": User.objects.get(), "source_kind": SourceKind.PACKAGE}
    server, _ = Server.objects.get_or_create(slug=slug, defaults={**about, "status": ServerStatus.RUNNING})
    number = server.deployments.count() + 1
    deployment = Deployment.objects.create(
        server=server,
        number=number,
        build=Build.objects.create(server=server, number=number, runtime="process"),
        trigger=Trigger.API,
        status=DeploymentStatus.SUCCEEDED,
    )
    saved = {"endpoint": endpoint, "data": {}}
    run = Run.objects.create(deployment=deployment, runtime="process", handle=saved, endpoint=endpoint)
    deployment.keep(run=run)
    Server.objects.filter(pk=server.pk).update(current_deployment=deployment)
    connections.close_all()
    return deployment.pk


def drained(deployment_id: int) -> None:
    Run.objects.filter(deployment=deployment_id).update(ended_at=timezone.now(), endpoint="")
    connections.close_all()


def recorded(slug: str) -> dict[str, int]:
    """How many calls of tools were recorded, by outcome."""
    found = UsageMetric.objects.filter(event_type="mcp_call", server__slug=slug, details__method="tools/call")
    outcomes = list(found.values_list("details__outcome", flat=True))
    connections.close_all()
    return {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}
