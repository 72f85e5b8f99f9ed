"""The page of one deployment: its steps as they happen, its events and its log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from console import actions, deployment_story, feeds, server_log, server_page
from metrics.models import UsageMetric
from servers.ids import id_in
from servers.models import Deployment, LogLine, Step
from servers.runbooks import diagnosis

EVENTS_SHOWN, RUNS_SHOWN = 200, 20


def show(model_admin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    status_feed = feeds.of_statuses(request.user)
    seen = model_admin.get_queryset(request)
    rows = seen.defer(None).select_related(
        "server__current_deployment__build",
        "server__current_deployment__run",
        "requested_by",
        "based_on",
        "build",
        "run",
    )
    deployment = rows.filter(pk=id_in(object_id)).first()
    if deployment is None:
        raise Http404("There is no such deployment (any more).")
    page = {
        **model_admin.admin_site.each_context(request),
        "title": str(deployment),
        "opts": model_admin.opts,
        "original": deployment,
        "status_feed": status_feed,
    }
    return render(request, "admin/servers/deployment/page.html", {**page, **context(request, deployment)})


def context(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    server = deployment.server
    log_feed, metric_feed = feeds.of_logs(server.pk), feeds.of_metrics(server.pk)
    steps, happened = list(deployment.steps.all()), newest_events(deployment)
    chosen = _chosen_step(request, steps)
    lines = LogLine.objects.filter(deployment=deployment, **({"step": chosen} if chosen else {}))
    return {
        "deployment": deployment,
        "server": server,
        "steps": steps,
        "story": deployment_story.rows(deployment, steps, happened),
        "chosen_step": chosen,
        "events": [shown_event(event) for event in happened],
        "lines": lines.newest(server_log.LINES_SHOWN),
        "levels": server_log.LEVELS,
        "runs": deployment.runs.all()[:RUNS_SHOWN],
        "images": sorted(deployment.build.images.items()),
        "log_feed": log_feed if not deployment.is_final or deployment.live_run else "",
        "metric_feed": metric_feed if not deployment.is_final or deployment.status == "held" else "",
        "actions": server_page.offered(actions.ON_DEPLOYMENTS, deployment, request),
        "redeploy": server_page.offered([actions.REDEPLOY], server, request),
        "diagnosis": diagnosis.diagnose(deployment),
        "may_operate": server.is_operable_by(request.user),
    }


def _chosen_step(request: HttpRequest, steps: Iterable[Step]) -> Step | None:
    return next((step for step in steps if str(step.pk) == request.GET.get("step")), None)


def newest_events(deployment: Deployment) -> list[UsageMetric]:
    """Oldest first, at most the newest `EVENTS_SHOWN`."""
    return list(UsageMetric.objects.filter(deployment=deployment).order_by("-id")[:EVENTS_SHOWN])[::-1]


def shown_event(event: UsageMetric) -> dict[str, Any]:
    outcome = event.event_type.rpartition("_")[2]
    tone = {"failed": "red", "succeeded": "green", "published": "green", "retry": "amber"}.get(
        outcome, "grey"
    )
    error = event.details.get("error", "")
    facts = deployment_story.event_facts(event.details)
    return {"row": event, "tone": tone, "error": error, "facts": facts}
