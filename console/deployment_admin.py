"""Deployments: the list, the live page, and the way to its actions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console import actions, attention, deployment_page
from console.base import HistoryAdmin
from console.compare_view import CompareView
from console.runbook_views import RemedyView
from console.views import ActionView
from servers import display
from servers.models import Deployment


@admin.register(Deployment)
class DeploymentAdmin(HistoryAdmin):
    list_display = ["which", "state", "reason", "cause", "revision_short", "took", "created"]
    list_filter = [
        attention.OfDeployments,
        "status",
        "trigger",
        "mode",
        "error_kind",
        "build__runtime",
        "created_at",
        ("server", admin.RelatedOnlyFieldListFilter),
    ]
    list_select_related = ["server", "requested_by", "build"]
    show_full_result_count = True
    search_fields = ["server__name", "server__slug", "build__revision", "build__digest"]
    search_help_text = "Server, revision or digest"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        return (
            super().get_queryset(request).defer("discovery", "tool_changes", "configuration", "build__plan")
        )

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<id:pk>/{action.name}/",
                self.admin_site.admin_view(ActionView.as_view(action=action, model_admin=self)),
                name=f"servers_deployment_{action.name.replace('-', '_')}",
            )
            for action in actions.ON_DEPLOYMENTS
        ]
        remedy = self.admin_site.admin_view(RemedyView.as_view(model_admin=self))
        own.append(path("<id:pk>/runbook/<slug:action>/", remedy, name="servers_deployment_runbook"))
        compare = self.admin_site.admin_view(CompareView.as_view(model_admin=self))
        own.append(path("<id:pk>/compare/", compare, name="servers_deployment_compare"))
        return [*own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return deployment_page.show(self, request, object_id)

    @admin.display(description="Deployment", ordering="id")
    def which(self, deployment: Deployment) -> SafeString:
        return format_html('<span class="mh-name">{} #{}</span>', deployment.server.name, deployment.number)

    @admin.display(description="Status", ordering="status")
    def state(self, deployment: Deployment) -> SafeString:
        return format_html(
            '<span data-live="deployment-{}">{}</span>', deployment.pk, display.work_pill(deployment.status)
        )

    @admin.display(description="Reason", ordering="error_kind")
    def reason(self, deployment: Deployment) -> SafeString:
        clipped = format_html('<span class="mh-clip" title="{0}">{0}</span>', deployment.error)
        said = clipped if deployment.error else display.EMPTY
        return format_html('<span data-live="deployment-{}-reason">{}</span>', deployment.pk, said)

    @admin.display(description="Trigger", ordering="trigger")
    def cause(self, deployment: Deployment) -> SafeString:
        return format_html(
            '<div>{}<span class="mh-sub">{}</span></div>',
            display.trigger(deployment.trigger),
            deployment.mode,
        )

    @admin.display(description="Revision")
    def revision_short(self, deployment: Deployment) -> SafeString | str:
        return display.revision(deployment.build.revision)

    @admin.display(description="Duration")
    def took(self, deployment: Deployment) -> SafeString:
        began = deployment.started_at
        said = display.running_for(began, deployment.finished_at) if began else display.EMPTY
        return format_html(
            '<span class="mh-num" data-live="deployment-{}-took">{}</span>', deployment.pk, said
        )

    @admin.display(description="Requested", ordering="created_at")
    def created(self, deployment: Deployment) -> SafeString:
        who = deployment.requested_by.get_username() if deployment.requested_by else ""
        return format_html(
            '<div>{}<span class="mh-sub">{}</span></div>', display.moment(deployment.created_at), who
        )
