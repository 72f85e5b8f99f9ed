"""The page of one server: state and reason, how to connect, what it offers, its deployments and its log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from servers import states
from servers.admin import actions, connect, feeds
from servers.models import Deployment, LogLine, Server

DEPLOYMENTS_SHOWN = 10
LINES_SHOWN = 300


def show(model_admin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    if not model_admin.has_view_permission(request):
        return model_admin.admin_site.login(request)  # type: ignore[no-any-return]
    server = model_admin.get_object(request, object_id)
    if server is None:
        raise Http404("There is no such server (any more).")
    frame = model_admin.admin_site.each_context(request)
    page = {
        **frame,
        "title": server.name,
        "opts": model_admin.opts,
        "original": server,
        "has_view_permission": True,
    }
    return render(request, "admin/servers/server/page.html", {**page, **context(request, server)})


def context(request: HttpRequest, server: Server) -> dict[str, Any]:
    log_feed = feeds.of_logs(server.pk)
    deployments = list(server.deployments.select_related("requested_by")[:DEPLOYMENTS_SHOWN])
    url = connect.public_url(request, server)
    return {
        "server": server,
        "deployments": deployments,
        "open_deployment": next((d for d in deployments if d.status in states.OPEN), None),
        "failed_deployment": next((d for d in deployments if d.status == "failed"), None),
        "lines": last_lines(LogLine.objects.filter(server=server)),
        "log_feed": log_feed,
        "url": url,
        "snippets": connect.snippets(server, url),
        "secrets": server.secrets.select_related("updated_by"),
        "environment_names": list(server.environment),
        "discovery": _discovery(server.current_deployment),
        "actions": offered(actions.ON_SERVERS, server, request),
        "can_change": request.user.has_perm("servers.change_server"),
    }


def offered(some: Sequence[actions.Action[Any]], target: Any, request: HttpRequest) -> dict[str, Any]:
    """The actions that this person may take and that make sense now, by name."""
    return {
        action.name.replace("-", "_"): action
        for action in some
        if request.user.has_perm(f"servers.{action.permission}_server") and not action.refusal(target)
    }


def last_lines(lines: Any, count: int = LINES_SHOWN) -> list[LogLine]:
    """The newest lines, oldest first."""
    return list(lines.order_by("-id")[:count])[::-1]


def _discovery(deployment: Deployment | None) -> dict[str, Any]:
    """Lists of what was discovered; a prompt or resource is shown by its name or URI."""
    found = deployment.discovery if deployment else {}
    return {key: found.get(key) or [] for key in ("tools", "prompts", "resources")}
