"""The pages of events. The filters use indexed columns, except those for calls; pages have no total."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from console import deployment_story
from console.base import UncountedAdmin
from console.log_admin import OfServer
from metrics.methods import FAILURES
from metrics.models import UsageMetric

# Details that the list does not show: they have a column, or only stand on the event's own page.
ON_ITS_OWN_PAGE = {
    "platform", "error", "era", "protocol_version", "bytes_in", "bytes_out", "sse_messages", "first_byte_ms",
    "cold_start", "image_id", "auth_expired",
}  # fmt: skip


class Kind(admin.SimpleListFilter):
    """Offers the types of the newest events; to look through all rows would take too long."""

    title = "event"
    parameter_name = "event_type"
    _lately = 5_000

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).order_by("-id")
        newest = rows.values_list(self.parameter_name, flat=True)[: self._lately]
        return [(value, value) for value in sorted(set(newest)) if value]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class Platform(Kind):
    title = "platform"
    parameter_name = "platform"


class CallOutcome(admin.SimpleListFilter):
    title = "call outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("failed", "failed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        failed = self.value() == "failed"
        return queryset.filter(details__outcome__in=sorted(FAILURES)) if failed else queryset


class Named(admin.SimpleListFilter):
    """Offers only the value in the address: links on a server's usage page set it."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = request.GET.get(self.parameter_name or "")
        return [(value, value)] if value else []


class Tool(Named):
    title = "tool"
    parameter_name = "name"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(details__name=self.value()) if self.value() else queryset


class Client(Named):
    """Filters by the start of the client's name: a version may follow it."""

    title = "client"
    parameter_name = "client"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(details__client__startswith=self.value()) if self.value() else queryset


@admin.register(UsageMetric)
class UsageMetricAdmin(UncountedAdmin):
    list_title = "Events"
    list_display = ["moment", "event_type", "platform", "of_server", "of_deployment", "summary"]
    list_filter = [Kind, Platform, OfServer, CallOutcome, Tool, Client, "timestamp"]
    list_select_related = ["server", "deployment"]
    list_per_page = 100
    sortable_by: list[str] = []
    fields = ["moment", "event_type", "platform", "of_server", "of_deployment", "pretty_details"]
    readonly_fields = ["moment", "of_server", "of_deployment", "pretty_details"]

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup == "deployment__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="Time")
    def moment(self, metric: UsageMetric) -> SafeString:
        exact = f"{metric.timestamp:%Y-%m-%d %H:%M:%S.%f}"[:-3]
        return format_html('<span class="mh-mono mh-nowrap">{}</span>', exact)

    @admin.display(description="Server")
    def of_server(self, metric: UsageMetric) -> SafeString:
        url = reverse("admin:servers_server_change", args=[metric.server_id])
        return format_html('<a class="mh-link" href="{}">{}</a>', url, metric.server)

    @admin.display(description="Deployment")
    def of_deployment(self, metric: UsageMetric) -> SafeString | str:
        if metric.deployment is None:
            return "—"
        url = reverse("admin:servers_deployment_change", args=[metric.deployment_id])
        return format_html('<a class="mh-link" href="{}">#{}</a>', url, metric.deployment.number)

    @admin.display(description="Details")
    def summary(self, metric: UsageMetric) -> SafeString:
        facts = deployment_story.event_facts(metric.details, ON_ITS_OWN_PAGE)
        told = format_html_join(
            " ",
            '<span class="mh-fact"><i>{}</i> {}</span>',
            ((name, Truncator(words).chars(60)) for name, words in facts),
        )
        error = Truncator(str(metric.details.get("error", ""))).chars(200)
        reason = format_html('<span class="mh-reason mh-inline">{}</span> ', error) if error else ""
        return format_html('<div class="mh-fact-row">{}{}</div>', reason, told or "—")

    @admin.display(description="Details")
    def pretty_details(self, metric: UsageMetric) -> SafeString:
        text = json.dumps(metric.details, indent=2, ensure_ascii=False)
        return format_html('<pre class="mh-pre mh-wrap" tabindex="0">{}</pre>', text)
