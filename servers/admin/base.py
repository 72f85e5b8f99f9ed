"""What the admin's pages share: rows of history that nobody edits, and lists that never count."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator


class HistoryAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Rows that the platform writes: seen, never added, changed or deleted by hand."""

    actions = None
    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class UncountedAdmin(HistoryAdmin):
    """For tables of millions of rows: previous and next, but no number of pages."""

    paginator = InfinitePaginator
