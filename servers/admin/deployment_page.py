"""The page of one deployment: its steps as they happen, its events and its log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from metrics.models import UsageMetric
from servers import display
from servers.admin import actions, feeds, server_log, server_page
from servers.models import Deployment, LogLine, Step
from servers.runbooks import diagnosis
from servers.states import StepStatus

EVENTS_SHOWN = 200
# Details that a step's row shows elsewhere, or that say nothing to a reader.
QUIET = {"platform", "error", "error_kind", "duration_ms", "bytes_done", "bytes_total", "summary"}


def show(model_admin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    seen = model_admin.get_queryset(request)
    rows = seen.select_related("server__current_deployment", "requested_by", "based_on")
    deployment = rows.filter(pk=object_id).first() if object_id.isdigit() else None
    if deployment is None:
        raise Http404("There is no such deployment (any more).")
    frame = model_admin.admin_site.each_context(request)
    page = {**frame, "title": str(deployment), "opts": model_admin.opts, "original": deployment}
    return render(request, "admin/servers/deployment/page.html", {**page, **context(request, deployment)})


def context(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    server = deployment.server
    log_feed, metric_feed = feeds.of_logs(server.pk), feeds.of_metrics(server.pk)
    steps = list(deployment.steps.all())
    chosen = _chosen_step(request, steps)
    lines = LogLine.objects.filter(deployment=deployment, **({"step": chosen} if chosen else {}))
    return {
        "deployment": deployment,
        "server": server,
        "steps": [shown_step(step) for step in steps],
        "chosen_step": chosen,
        "events": [shown_event(event) for event in newest_events(deployment)],
        "lines": lines.newest(server_log.LINES_SHOWN),
        "levels": server_log.LEVELS,
        "images": sorted(deployment.images.items()),
        "log_feed": log_feed if not deployment.is_final or deployment.run else "",
        "metric_feed": metric_feed if not deployment.is_final or deployment.status == "held" else "",
        "actions": server_page.offered(actions.ON_DEPLOYMENTS, deployment, request),
        "redeploy": server_page.offered([actions.REDEPLOY], server, request),
        "diagnosis": diagnosis.diagnose(deployment),
        "may_operate": server.is_operable_by(request.user),
    }


def _chosen_step(request: HttpRequest, steps: Iterable[Step]) -> Step | None:
    return next((step for step in steps if str(step.pk) == request.GET.get("step")), None)


def shown_step(step: Step) -> dict[str, Any]:
    return {"row": step, "facts": facts(step.details), "progress": progress(step)}


def progress(step: Step) -> dict[str, Any] | None:
    """How far a running step is, where its details count bytes."""
    done, total = step.details.get("bytes_done"), step.details.get("bytes_total")
    if (
        step.status != StepStatus.RUNNING
        or not isinstance(done, int)
        or not isinstance(total, int)
        or total < 1
    ):
        return None
    return {"done": done, "total": total, "text": f"{display.size(done)} of {display.size(total)}"}


def facts(details: dict[str, Any]) -> list[tuple[str, str]]:
    """Details as words: plain values only, lists joined."""
    shown = ((key.replace("_", " "), _words(value)) for key, value in details.items() if key not in QUIET)
    return [(key, value) for key, value in shown if value]


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(part) for part in value if isinstance(part, str | int))
    return str(value) if isinstance(value, str | int | float) else ""


def newest_events(deployment: Deployment) -> list[UsageMetric]:
    """Oldest first, at most the newest `EVENTS_SHOWN`."""
    return list(UsageMetric.objects.filter(deployment=deployment).order_by("-id")[:EVENTS_SHOWN])[::-1]


def shown_event(event: UsageMetric) -> dict[str, Any]:
    outcome = event.event_type.rpartition("_")[2]
    tone = {"failed": "red", "succeeded": "green", "published": "green", "retry": "amber"}.get(
        outcome, "grey"
    )
    error = event.details.get("error", "")
    known = facts(event.details)
    took = event.details.get("duration_ms")
    if isinstance(took, int):
        known.append(("took", display.duration(timedelta(milliseconds=took))))
    return {"row": event, "tone": tone, "error": error, "facts": known}
