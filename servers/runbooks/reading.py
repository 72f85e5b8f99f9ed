"""Reads the facts of one deployment, with a fixed number of queries."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Q

from hosting.last_words import LOOK_BACK, last_words
from metrics.models import UsageMetric
from servers import image_names
from servers.models import Deployment, LogLine, Server, Step
from servers.models.log import LogStream
from servers.runbooks.facts import Event, Facts, StepFacts
from servers.states import OPEN, DeploymentStatus, ServerStatus, StepKind, StepStatus

EVENTS = (
    "push_started", "push_retry", "push_failed", "auth_refresh_succeeded", "auth_refresh_failed",
    "auth_health_reported",
)  # fmt: skip
MOST_EVENTS = 500
LINES = 5
WAITING = (*OPEN, DeploymentStatus.HELD)


def has_runbook(deployment: Deployment) -> bool:
    """Tells whether there is something to diagnose.

    That is if it failed, was cancelled or is held, or if it is the current one and down or cannot be polled.
    """
    if deployment.status in (DeploymentStatus.FAILED, DeploymentStatus.CANCELLED, DeploymentStatus.HELD):
        return True
    return _is_current(deployment) and _is_in_trouble(deployment.server)


def read(deployment: Deployment) -> Facts:
    """Reads the facts. `deployment.server.current_deployment` should be loaded, with its build and run."""
    server = deployment.server
    current = server.current_deployment
    own = _own(deployment)
    return Facts(
        slug=server.slug,
        desired=server.desired_state,
        is_current=_is_current(deployment),
        serving=server.serving.number if server.serving else 0,
        current=current.number if current else 0,
        current_can_start=bool(current and current.build.can_start),
        registry=image_names.reference(server, "any").endpoint if settings.REGISTRY else "",
        has_refresh_command=bool(settings.REGISTRY_REFRESH_COMMAND),
        retry_limit=deployment.push_retries or settings.REGISTRY_PUSH_RETRIES,
        events=_events(deployment),
        **own,
        **_others(deployment),
    )


def _own(deployment: Deployment) -> dict[str, Any]:
    steps = tuple(_step(row) for row in deployment.steps.all())
    down = deployment.status == DeploymentStatus.SUCCEEDED
    about = deployment.server if down else deployment
    return {
        "number": deployment.number,
        "status": deployment.status,
        "mode": deployment.mode,
        "runtime": deployment.build.runtime,
        "error_kind": about.error_kind,
        "reason": "" if down else deployment.error_reason,
        "error": about.error,
        "revision": deployment.build.revision,
        "platforms": tuple(deployment.build.platforms),
        "can_start_again": deployment.build.can_start,
        "claims": deployment.claims,
        "steps": steps,
        "last_lines": _last_lines(deployment, steps),
        "breaking": tuple(deployment.tool_changes.get("breaking", ())),
    }


def _step(row: Step) -> StepFacts:
    return StepFacts(row.pk, row.kind, row.platform, row.status, row.error, row.error_kind, row.details)


def _last_lines(deployment: Deployment, steps: tuple[StepFacts, ...]) -> tuple[str, ...]:
    """Returns the last lines of the build that failed, or of the server."""
    build = [s.pk for s in steps if s.kind == StepKind.BUILD and s.status == StepStatus.FAILED]
    of_server = Q(stream__in=[LogStream.STDOUT, LogStream.STDERR])
    lines = LogLine.objects.filter(Q(step__in=build) if build else of_server, deployment=deployment)
    newest = lines.order_by("-id").values_list("text", flat=True)[:LOOK_BACK]
    return tuple(last_words(reversed(newest), LINES))


def _events(deployment: Deployment) -> tuple[Event, ...]:
    rows = UsageMetric.objects.filter(
        server=deployment.server_id, deployment=deployment, event_type__in=EVENTS
    ).order_by("-id")
    newest = rows.values_list("event_type", "platform", "details")[:MOST_EVENTS]
    return tuple(Event(*row) for row in newest)[::-1]


def _others(deployment: Deployment) -> dict[str, Any]:
    server = deployment.server
    others = server.deployments.exclude(pk=deployment.pk)
    after = others.filter(number__gt=deployment.number).exclude(status=DeploymentStatus.SUPERSEDED)
    waiting = dict(server.deployments.filter(status__in=WAITING).values_list("number", "status"))
    serving = server.serving.build_id if server.serving else None
    good = others.good().exclude(build__in={deployment.build_id, serving})
    return {
        "newer": after.order_by("-number").values_list("number", flat=True).first() or 0,
        "good": good.order_by("-number").values_list("number", flat=True).first() or 0,
        "open": {n: status for n, status in waiting.items() if status in OPEN and n != deployment.number},
        "held": next((n for n, status in waiting.items() if status == DeploymentStatus.HELD), 0),
    }


def _is_current(deployment: Deployment) -> bool:
    return deployment.server.current_deployment_id == deployment.pk


def _is_in_trouble(server: Server) -> bool:
    """Tells whether the server itself is in trouble.

    An error while the server serves belongs to a newer deployment, unless the status is `degraded`, which
    only the reconciler sets.
    """
    if server.status == ServerStatus.ERROR and not server.serving:
        return server.error_kind == "runtime" or _failed_to_restart(server)
    return server.status == ServerStatus.DEGRADED and server.error_kind == "runtime"


def _failed_to_restart(server: Server) -> bool:
    """Tells whether the last restart failed.

    The failure may be of any kind, such as a secret that cannot be read.
    """
    last = server.current_deployment.run if server.current_deployment else None
    return last is not None and not last.is_live and last.ready_at is None
