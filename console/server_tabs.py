"""The pages of one server: each has its own address, its own queries, and the same head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.urls import URLPattern, path, reverse

from console import actions, feeds, server_log, server_page, server_tools, server_usage
from servers import states
from servers.models import Server

Context = Callable[[HttpRequest, Server], dict[str, Any]]


@dataclass(frozen=True)
class Tab:
    """`name` is the last part of the page's address and names its template."""

    name: str
    label: str
    context: Context

    @property
    def view(self) -> str:
        return f"servers_server_{self.name}"


OVERVIEW = Tab("change", "Overview", server_page.overview)
TABS = [
    OVERVIEW,
    Tab("tools", "Tools", server_tools.context),
    Tab("usage", "Usage", server_usage.context),
    Tab("deployments", "Deployments", server_page.deployments),
    Tab("logs", "Logs", server_log.context),
    Tab("settings", "Settings", server_page.configuration),
]


def add(tab: Tab) -> None:
    """Adds a page before the settings. Packages that this one may not import, such as `hooks`, call it."""
    TABS.insert(-1, tab)


def urls(model_admin: Any) -> list[URLPattern]:
    """The URLs of all pages but the overview, which has the URL of the admin's form."""
    wrapped = model_admin.admin_site.admin_view
    return [
        path(f"<id:pk>/{tab.name}/", wrapped(_view(model_admin, tab)), name=tab.view)
        for tab in TABS
        if tab is not OVERVIEW
    ]


def show(model_admin: Any, request: HttpRequest, object_id: str, tab: Tab = OVERVIEW) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    status_feed = feeds.of_statuses(request.user)
    server = model_admin.get_object(request, object_id)
    if server is None:
        raise Http404("There is no such server (any more).")
    page = {
        **model_admin.admin_site.each_context(request),
        "title": server.name if tab is OVERVIEW else f"{server.name}: {tab.label}",
        "opts": model_admin.opts,
        "original": server,
        "status_feed": status_feed,
        "has_view_permission": True,
    }
    found = {**page, **head(request, server, tab), **tab.context(request, server)}
    return render(request, f"admin/servers/server/{tab.name}.html", found)


def head(request: HttpRequest, server: Server, tab: Tab) -> dict[str, Any]:
    """The context of the head of every page: status, notices, buttons and tabs."""
    newest = list(server.deployments.select_related("run").defer("discovery")[: server_page.LOOKED_AT])
    return {
        "server": server,
        "tabs": [
            {"label": each.label, "url": reverse(f"admin:{each.view}", args=[server.pk]), "here": each is tab}
            for each in TABS
        ],
        "open_deployment": next((d for d in newest if d.status in states.OPEN), None),
        "held_deployment": next((d for d in newest if d.status == "held"), None),
        "newest_deployment": next(iter(newest), None),
        "actions": server_page.offered(actions.ON_SERVERS, server, request),
        "can_change": server.is_operable_by(request.user),
    }


def _view(model_admin: Any, tab: Tab) -> Callable[..., HttpResponse]:
    def view(request: HttpRequest, pk: int) -> HttpResponse:
        return show(model_admin, request, str(pk), tab)

    return view
