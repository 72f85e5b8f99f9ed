"""Selects the audit entries that a user may see."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet

from access import roles
from access.models import AuditEntry
from servers.models import Server


def entries_for(user: AbstractBaseUser | AnonymousUser) -> QuerySet[AuditEntry]:
    """Returns the entries that `user` may see, the newest first.

    An administrator sees all, another user those of servers that they operate.
    """
    entries = AuditEntry.objects.order_by("-id")
    if roles.is_administrator(user):
        return entries
    return entries.filter(server_id__in=Server.objects.operable_by(user).order_by().values("pk"))
