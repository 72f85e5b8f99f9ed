"""The pages of deliveries: the list, one delivery, and “Redeliver”."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access.actor import at_console
from console.base import UncountedAdmin
from hooks import reception, services
from hooks.admin.hook_admin import OperatorView
from hooks.display import pill, short_ref
from hooks.models import Delivery, Kind
from hosting.errors import UserError
from servers import display
from servers.ids import id_in
from servers.models import Server
from servers.models.server import SourceKind


class OfServer(admin.SimpleListFilter):
    title = "server"
    parameter_name = "server"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        having = Server.objects.visible_to(request.user).filter(hooks__isnull=False).distinct()
        return [(str(pk), name) for pk, name in having.values_list("pk", "name")[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        server = id_in(self.value() or "")
        return queryset if server is None else queryset.filter(hook__server_id=server)


class AgainView(OperatorView):
    delivery: Delivery | None

    def server_of(self, **kwargs: Any) -> Server | None:
        rows = Delivery.objects.select_related("hook__server")
        self.delivery = rows.filter(pk=kwargs["pk"]).first()
        return self.delivery.hook.server if self.delivery else None

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        assert self.delivery
        possible = self.delivery.can_be_repeated
        return self.confirm(
            f"Redeliver: {self.delivery}",
            {"label": "Redeliver"},
            refusal="" if possible else "It is not a push: there is nothing to redeliver.",
            sentences=_preview(self.delivery) if possible else [],
            back=_page_of(self.delivery),
        )

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        assert self.delivery
        try:
            again = services.deliver_again(delivery=self.delivery, by=at_console(request))
        except UserError as error:
            self.fail(error)
            return HttpResponseRedirect(_page_of(self.delivery))
        made = again.deployment
        came = f"Deployment #{made.number} is queued." if made else f"It was ignored: {again.reason}"
        self.note(f"Redelivered. {came}")
        return HttpResponseRedirect(_page_of(again))


def _preview(delivery: Delivery) -> list[str]:
    reason = reception.would_ignore(delivery.hook, delivery.facts())
    server = delivery.hook.server
    if reason:
        return [f"It would be ignored: {reason}", "The outcome is recorded as a delivery of its own."]
    is_pinned = delivery.commit and server.source_kind == SourceKind.GIT
    what = f"the commit {delivery.commit[:12]}" if is_pinned else "its newest state"
    return [
        f"{server} is deployed at {what}, with the present filters.",
        "A deployment that still waits, in the queue or for approval, is superseded.",
    ]


def _page_of(delivery: Delivery) -> str:
    return reverse("admin:hooks_delivery_change", args=[delivery.pk])


@admin.register(Delivery)
class DeliveryAdmin(UncountedAdmin):
    list_title = "Webhooks"
    server_path = "hook__server"
    list_display = ["what", "of_server", "result", "why", "deployed", "received"]
    list_filter = ["outcome", "hook__kind", OfServer]
    list_select_related = ["hook__server", "deployment"]
    search_fields = ["delivery_id", "commit", "ref"]
    search_help_text = "Delivery id, commit or ref"
    ordering = ["-id"]
    sortable_by: list[str] = []

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows.select_related("hook__server", "deployment", "origin", "requested_by")

    def get_urls(self) -> list[URLPattern]:
        again = self.admin_site.admin_view(AgainView.as_view(model_admin=self))
        return [path("<id:pk>/again/", again, name="hooks_delivery_again"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        delivery = self.get_object(request, object_id)
        if delivery is None:
            raise Http404("There is no such delivery (any more).")
        frame = {**self.admin_site.each_context(request), "title": str(delivery), "opts": self.opts}
        return render(request, "admin/hooks/delivery.html", {**frame, **_context(request, delivery)})

    @admin.display(description="Delivery")
    def what(self, delivery: Delivery) -> SafeString:
        below = short_ref(delivery.ref) or delivery.delivery_id[:24]
        return format_html(
            '<span class="mh-name">{}</span><span class="mh-sub">{}</span>',
            delivery.event or "unknown",
            f"{below} {delivery.commit[:12]}".strip(),
        )

    @admin.display(description="Server")
    def of_server(self, delivery: Delivery) -> SafeString:
        url = reverse("admin:servers_server_webhooks", args=[delivery.hook.server_id])
        kind = Kind(delivery.hook.kind).label
        return format_html(
            '<div><a class="mh-link" href="{}">{}</a><span class="mh-sub">{}</span></div>',
            url,
            delivery.hook.server,
            kind,
        )

    @admin.display(description="Outcome")
    def result(self, delivery: Delivery) -> SafeString:
        return pill(delivery)

    @admin.display(description="Reason")
    def why(self, delivery: Delivery) -> SafeString | str:
        if not delivery.reason:
            return display.EMPTY
        return format_html('<span class="mh-clip" title="{0}">{0}</span>', delivery.reason)

    @admin.display(description="Deployment")
    def deployed(self, delivery: Delivery) -> SafeString | str:
        return display.deployment_link(delivery.deployment)

    @admin.display(description="Received")
    def received(self, delivery: Delivery) -> SafeString | str:
        return display.moment(delivery.received_at)


def _context(request: HttpRequest, delivery: Delivery) -> dict[str, Any]:
    server = delivery.hook.server
    return {
        "delivery": delivery,
        "server": server,
        "pill": pill(delivery),
        "push": delivery.facts(),
        "repeats": delivery.repeats.select_related("deployment")[:50],
        "may_operate": server.is_operable_by(request.user),
    }
