"""Base classes of the admin's pages. Roles decide who sees and changes which rows."""

from __future__ import annotations

from typing import Any, NoReturn
from urllib.parse import urlencode

from django.contrib.admin.views.main import ERROR_FLAG
from django.db import DataError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

from access import roles
from console import feeds
from servers import display
from servers.models import Server

NOT_FOUND = "This page does not exist, or you may not see it."


class RecordedAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Turns off Django's own log of changes: the services write the audit instead."""

    empty_value_display = display.EMPTY
    list_title = ""  # as the sidebar names it; "" for the plural of the model's name

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        pass

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        pass

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        pass

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404(NOT_FOUND)
        kind = self.opts.model_name
        asked = {"server": row.pk} if kind == "server" else {"target_kind": kind, "target_id": row.pk}
        return HttpResponseRedirect(f"{reverse('admin:access_auditentry_changelist')}?{urlencode(asked)}")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Shows the list without filters if the database cannot take a filter's value, such as a huge
        number."""
        named = {"title": self.list_title or capfirst(self.opts.verbose_name_plural)}
        try:
            shown: HttpResponse = super().changelist_view(request, {**named, **(extra_context or {})})
        except (OverflowError, DataError):
            if request.method not in ("GET", "HEAD") or not request.GET:
                raise
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")
        return shown

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> NoReturn:
        raise Http404(NOT_FOUND)


class RoleAdmin(RecordedAdmin):
    """Shows rows of the servers that the person may see. Django's own permissions are not used.

    `server_path` is the lookup from a row to its server, "" if the row is a server.
    """

    server_path = "server"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        if roles.is_administrator(request.user):
            return rows
        seen = Server.objects.visible_to(request.user).order_by().values("pk")
        return rows.filter(**{f"{self.server_path or 'pk'}__in": seen})

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        followed = {"status_feed": feeds.of_statuses(request.user)}
        shown: HttpResponse = super().changelist_view(request, {**followed, **(extra_context or {})})
        return shown

    def may_operate(self, request: HttpRequest, obj: Any) -> bool:
        """Whether this person may act on the row."""
        server: Server = getattr(obj, self.server_path) if self.server_path else obj
        return server.is_operable_by(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # of the rows above

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class HistoryAdmin(RoleAdmin):
    """Read-only pages of rows that the platform writes."""

    actions = None
    list_per_page = 50
    show_full_result_count = False


class UncountedAdmin(HistoryAdmin):
    """For tables with millions of rows: pages without a total, since counting takes too long."""

    paginator = InfinitePaginator
