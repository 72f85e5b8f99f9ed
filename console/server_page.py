"""The contexts of the pages of one server. The number of queries does not grow with the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest

from console import actions, connect, server_usage
from servers import history
from servers.models import Deployment, Server

LOOKED_AT = 10  # newest deployments
SHOWN_FIRST = 5
DEPLOYMENTS_SHOWN = 50
LISTS = ("tools", "prompts", "resources", "notes")


def overview(request: HttpRequest, server: Server) -> dict[str, Any]:
    url = connect.public_url(request, server)
    return {
        "deployments": newest_deployments(server, SHOWN_FIRST),
        "url": url,
        "snippets": connect.snippets(server, url),
        "discovery": discovery(server.current_deployment),
        "lately": server_usage.lately(server),
    }


def deployments(request: HttpRequest, server: Server) -> dict[str, Any]:
    return {"deployments": newest_deployments(server, DEPLOYMENTS_SHOWN)}


def configuration(request: HttpRequest, server: Server) -> dict[str, Any]:
    set_by = history.last_set(server)
    return {
        "secrets": server.secrets.select_related("updated_by"),
        # Not "environment": unfold puts what is called so into the head of the page.
        "variables": [(name, value, set_by.get(name)) for name, value in server.environment.items()],
    }


def newest_deployments(server: Server, count: int) -> list[Deployment]:
    rows = server.deployments.with_starts().select_related("requested_by", "build", "run")
    return list(rows.defer("discovery")[:count])


def offered(some: Sequence[actions.Action[Any]], target: Any, request: HttpRequest) -> dict[str, Any]:
    """The actions that this person may take and that make sense now, by name."""
    server = target.server if isinstance(target, Deployment) else target
    if not server.is_operable_by(request.user):
        return {}
    return {action.name.replace("-", "_"): action for action in some if not action.refusal(target)}


def discovery(deployment: Deployment | None) -> dict[str, Any]:
    """Lists of what was discovered; a prompt or resource is shown by its name or URI. `notes` says which
    lists may not be whole."""
    found = deployment.discovery if deployment else {}
    return {key: found.get(key) or [] for key in LISTS}
