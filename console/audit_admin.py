"""The audit pages: the list of entries, and one entry with the values before and after."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from access.models import AuditEntry
from console.base import UncountedAdmin
from console.log_admin import OfServer
from servers import display
from servers.audit import entries_for

LATELY, MOST_SHOWN = 5_000, 4
PAGES = {
    "server": "servers_server",
    "deployment": "servers_deployment",
    "user": "auth_user",
    "team": "access_team",
}


class Lately(admin.SimpleListFilter):
    """Offers the values of the newest entries that this person may see; all entries would take too long."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).order_by("-id")
        values = set(rows.values_list(self.parameter_name, flat=True)[:LATELY])
        return [(value, value) for value in sorted(values) if value]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class Person(Lately):
    title, parameter_name = "actor", "actor"


class What(Lately):
    title, parameter_name = "action", "action"


@admin.register(AuditEntry)
class AuditAdmin(UncountedAdmin):
    list_title = "Audit"
    list_display = ["moment", "who", "action", "what", "changed"]
    list_display_links = ["moment"]
    list_filter = [Person, What, OfServer, "via", "at"]
    list_per_page = 100
    list_fullwidth = True
    sortable_by: list[str] = []
    search_fields = ["actor", "action", "target"]
    search_help_text = "Actor, action or target"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        return entries_for(request.user)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup in ("target_kind", "target_id") or super().lookup_allowed(lookup, value, request)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        entry = self.get_object(request, object_id)
        if entry is None:
            raise Http404("There is no such entry, or you may not see it.")
        page = {**self.admin_site.each_context(request), "title": str(entry), "opts": self.opts}
        shown = {"entry": entry, "target_url": url_of(entry), "rows": rows_of(entry)}
        return render(request, "admin/access/entry.html", {**page, **shown})

    @admin.display(description="Time")
    def moment(self, entry: AuditEntry) -> SafeString:
        return format_html('<span class="mh-nowrap">{}</span>', display.moment(entry.at))

    @admin.display(description="Actor")
    def who(self, entry: AuditEntry) -> SafeString:
        via = entry.get_via_display()
        how = " · ".join(part for part in (via if entry.actor else "", entry.token, entry.address) if part)
        return format_html('<div>{}<span class="mh-sub">{}</span></div>', entry.actor or via, how)

    @admin.display(description="Target")
    def what(self, entry: AuditEntry) -> SafeString | str:
        url = url_of(entry)
        return format_html('<a class="mh-link" href="{}">{}</a>', url, entry.target) if url else entry.target

    @admin.display(description="Changes")
    def changed(self, entry: AuditEntry) -> SafeString:
        rows = rows_of(entry)
        shown = format_html_join(
            " ", '<span class="mh-fact"><i>{}</i> {}</span>', map(_brief, rows[:MOST_SHOWN])
        )
        more = len(rows) - MOST_SHOWN
        tail = f" and {more} more" if more > 0 else ""
        return format_html('<div class="mh-fact-row mh-wrap">{}{}</div>', shown, tail)


def url_of(entry: AuditEntry) -> str:
    """The page of the entry's target; "" if there is none."""
    page = PAGES.get(entry.target_kind)
    if page is None or entry.target_id is None:
        return reverse("admin:servers_server_change", args=[entry.server_id]) if entry.server_id else ""
    try:
        return reverse(f"admin:{page}_change", args=[entry.target_id])
    except NoReverseMatch:
        return ""


def rows_of(entry: AuditEntry) -> list[tuple[str, str, str]]:
    """Each field with its value before and after, as text. Fields that are empty in both are left out."""
    before, after = entry.before or {}, entry.after or {}
    rows = [(name, _text(before.get(name)), _text(after.get(name))) for name in {**before, **after}]
    return [(name.replace("_", " "), old, new) for name, old, new in rows if old or new]


def _brief(row: tuple[str, str, str]) -> tuple[str, str]:
    name, before, after = row
    return name, f"{before[:60]} → {after[:60]}" if before and after else (after or before)[:60]


def _text(value: Any) -> str:
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)
