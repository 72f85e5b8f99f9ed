"""The default permission of the API: roles decide about rows, scopes about tokens."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request

from servers.models import Deployment, Server, Token
from servers.models.token import Scope

ONLY_READS = "This token has the scope read: it changes nothing. Use one of scope api."
ONLY_SEES = "You see this server, but you do not operate it. Ask its owner or an administrator of its team."


class ByRole(IsAuthenticated):
    """Raises `PermissionDenied`. Rows that the person may not see are filtered before: they answer 404."""

    def has_permission(self, request: Request, view: Any) -> bool:
        token = request.auth
        if isinstance(token, Token) and token.scope == Scope.READ and request.method not in SAFE_METHODS:
            raise PermissionDenied(ONLY_READS)
        return super().has_permission(request, view)

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        server = obj.server if isinstance(obj, Deployment) else obj
        if request.method in SAFE_METHODS or not isinstance(server, Server):
            return True
        if not server.is_operable_by(request.user):
            raise PermissionDenied(ONLY_SEES)
        return True
