"""The tools of a server: what was discovered, and the panel that calls one through the gateway."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from bridge.protocol import DOCUMENT
from console import server_page
from console.views import ConsoleView
from servers import tickets
from servers.models import Server, tool_patterns

HINTS = {
    "readOnlyHint": "Read-only",
    "destructiveHint": "Destructive",
    "idempotentHint": "Idempotent",
    "openWorldHint": "Open world",
}


def context(request: HttpRequest, server: Server) -> dict[str, Any]:
    found = server_page.discovery(server.current_deployment)
    facts = server.current_deployment.facts if server.current_deployment else {}
    return {
        "discovery": found,
        "tools": [shown(tool, server) for tool in found["tools"] if isinstance(tool, dict)],
        "era": facts.get("era") or "",
        "protocol": DOCUMENT,
        "versions": " ".join(facts.get("protocol_versions") or ()),
    }


def shown(tool: dict[str, Any], server: Server) -> dict[str, Any]:
    name = str(tool.get("name", ""))
    annotations = tool.get("annotations")
    said = annotations if isinstance(annotations, dict) else {}
    return {
        "name": name,
        "title": tool.get("title") or said.get("title") or "",
        "description": tool.get("description") or "",
        "hints": [words for key, words in HINTS.items() if said.get(key) is True],
        "input": _pretty(tool.get("inputSchema") or {}),
        "output": _pretty(tool["outputSchema"]) if tool.get("outputSchema") else "",
        "denied": not tool_patterns.permit(name, server.tools_allowed, server.tools_denied),
    }


def _pretty(schema: Any) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False)


class TicketView(ConsoleView):
    """Issues a ticket, with which the page calls the server for a few minutes. Everybody who sees the server
    may call it."""

    permission = "view"
    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        user: Any = request.user
        made = {"ticket": tickets.issue(user_id=user.pk, server_id=pk)}
        return JsonResponse(made, headers={"Cache-Control": "no-store"})
