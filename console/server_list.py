"""The list of servers: columns, filters, search."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import RelatedOnlyFieldListFilter, SimpleListFilter
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from servers import display
from servers.models import Deployment, Server
from servers.states import DEPLOYING, ServerStatus

COLUMNS = ["name_and_slug", "state", "serving", "newest", "source_line", "owner", "changed"]
FILTERS: list[Any]


class Attention(SimpleListFilter):
    """Filters by the status of servers: those that need attention, or that change now."""

    title = "attention"
    parameter_name = "attention"
    _statuses = {
        "needed": (ServerStatus.ERROR, ServerStatus.DEGRADED),
        "working": (*DEPLOYING, ServerStatus.PENDING, ServerStatus.STOPPING, ServerStatus.DELETING),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("needed", "Needs attention"), ("working", "In progress")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        statuses = self._statuses.get(self.value() or "")
        return queryset.filter(status__in=statuses) if statuses else queryset


FILTERS = [Attention, "status", "source_kind", "runtime", "transport", "desired_state"]
FILTERS += [(name, RelatedOnlyFieldListFilter) for name in ("owner", "team")]


def with_newest(servers: QuerySet[Server]) -> QuerySet[Server]:
    """Each server with its owner, what serves and its newest deployment, in one query."""
    newest = Deployment.objects.filter(server=OuterRef("pk")).order_by("-number")
    return servers.select_related("owner", "team", "current_deployment__run").annotate(
        newest_id=Subquery(newest.values("pk")[:1]),
        newest_number=Subquery(newest.values("number")[:1]),
        newest_status=Subquery(newest.values("status")[:1]),
    )


def live(server: Server, part: str, content: str) -> SafeString:
    """A part of the list that the page's script (static/mcphost/page.js) keeps current."""
    return format_html('<span data-live="server-{}-{}">{}</span>', server.pk, part, content)


def name_and_slug(server: Server) -> SafeString:
    return format_html(
        '<span><span class="mh-name">{}</span><span class="mh-sub">{}</span></span>', server.name, server.slug
    )


def source_line(server: Server) -> SafeString:
    runtime = server.get_runtime_display() if server.runtime else "default runtime"
    return format_html(
        '<div><span class="mh-clip" title="{0}">{0}</span><span class="mh-sub">{1}</span></div>',
        display.source_summary(server), runtime,
    )  # fmt: skip


def state(server: Server) -> SafeString:
    content = display.pill(server.status)
    if server.error:
        reason = format_html('<span class="mh-sub mh-clip" title="{0}">{0}</span>', server.error)
        content = format_html("{}{}", content, reason)
    return live(server, "state", content)


def serving(server: Server) -> SafeString:
    return live(server, "serving", display.deployment_link(server.serving))


def newest(server: Any) -> SafeString:
    """`server` as `with_newest` yields it."""
    if server.newest_id is None:
        return live(server, "newest", display.EMPTY)
    link = format_html(
        '<span class="mh-nowrap"><a class="mh-link" href="{}">#{}</a> {}</span>',
        display.deployment_url(server.newest_id),
        server.newest_number,
        display.work_pill(server.newest_status),
    )
    return live(server, "newest", link)
