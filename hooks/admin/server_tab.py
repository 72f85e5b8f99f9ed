"""The page “Webhooks” of a server."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from console import server_tabs
from console.server_tabs import Tab
from hooks.models import Delivery, WebHook
from servers.models import Server

SHOWN = 20


def context(request: HttpRequest, server: Server) -> dict[str, Any]:
    newest = Delivery.objects.filter(hook__server=server).select_related("hook", "deployment")
    hooks = list(server.hooks.select_related("server", "secret_by"))
    return {
        "hooks": [{"row": hook, "url": url_of(request, hook), "refusal": hook.refusal()} for hook in hooks],
        "deliveries": newest.defer("push", "excerpt")[:SHOWN],
        "may_operate": server.is_operable_by(request.user),
    }


def url_of(request: HttpRequest, hook: WebHook) -> str:
    """Under PUBLIC_URL, or under the name that this request came by."""
    return (
        f"{settings.PUBLIC_URL}{hook.path}" if settings.PUBLIC_URL else request.build_absolute_uri(hook.path)
    )


server_tabs.add(Tab("webhooks", "Webhooks", context))
