"""The page of log lines of all servers. Its pages have no total, and a search needs one server."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console.base import UncountedAdmin
from servers import display
from servers.ids import id_in
from servers.models import LogLine, Server


class OfServer(admin.SimpleListFilter):
    title = "server"
    parameter_name = "server"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            (str(pk), name)
            for pk, name in Server.objects.visible_to(request.user).values_list("pk", "name")[:200]
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        server = id_in(self.value() or "")
        return queryset if server is None else queryset.filter(server_id=server)


@admin.register(LogLine)
class LogLineAdmin(UncountedAdmin):
    list_title = "Logs"
    list_display = ["moment", "server", "of_deployment", "stream", "line"]
    list_display_links = None
    list_filter = [OfServer, "stream"]
    list_select_related = ["server", "deployment"]
    list_per_page = 200
    list_fullwidth = True
    ordering = ["-id"]
    sortable_by: list[str] = []
    search_fields = ["text"]
    search_help_text = "Text; choose a server first"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Searches within one server or deployment only: text has no index, and all lines are too many."""
        if search_term and "server" not in request.GET and "deployment__id__exact" not in request.GET:
            self.message_user(request, "Choose a server in the filters to search its log.", level="WARNING")
            return queryset.none(), False
        found: tuple[QuerySet[Any], bool] = super().get_search_results(request, queryset, search_term)
        return found

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup == "deployment__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="Time")
    def moment(self, line: LogLine) -> SafeString:
        exact = f"{line.at:%Y-%m-%d %H:%M:%S.%f}"[:-3]
        return format_html('<span class="mh-mono mh-nowrap">{}</span>', exact)

    @admin.display(description="Deployment")
    def of_deployment(self, line: LogLine) -> SafeString | str:
        return display.deployment_link(line.deployment)

    @admin.display(description="Line")
    def line(self, line: LogLine) -> SafeString:
        return format_html('<span class="mh-line">{}</span>', line.text)
