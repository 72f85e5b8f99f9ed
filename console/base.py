"""What the admin's pages share: roles decide, what is not to be seen is not there, lists never count."""

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

NOT_FOUND = "There is nothing here, or it is not yours to see."


class RecordedAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Services write the audit, the only history that there is: Django's own log is not kept beside it."""

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
        """What a filter in the address cannot ask a database for asks for nothing, as elsewhere in Django."""
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
    """Rows of servers that the person sees; Django's own permissions are not asked.

    `server_path` leads from a row to its server, "" where the row is one.
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
    """Rows that the platform writes: seen, never added, changed or deleted by hand."""

    actions = None
    list_per_page = 50
    show_full_result_count = False


class UncountedAdmin(HistoryAdmin):
    """For tables of millions of rows: previous and next, but no number of pages."""

    paginator = InfinitePaginator
