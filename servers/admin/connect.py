"""How a client reaches a server: its URL, and what to paste where."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from servers.models import Server

NO_TOKEN = "<token>"  # noqa: S105  (stands where a token goes)
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "curl", "version": "1"},
    },
}


@dataclass(frozen=True)
class Snippet:
    title: str
    note: str
    text: str


def public_url(request: HttpRequest, server: Server) -> str:
    """The server's URL under PUBLIC_URL, or under the name that this request came by."""
    path = f"/mcp/{server.slug}"
    return f"{settings.PUBLIC_URL}{path}" if settings.PUBLIC_URL else request.build_absolute_uri(path)


def snippets(server: Server, url: str, token: str = NO_TOKEN) -> list[Snippet]:
    return [
        Snippet("Claude Code", "Run it in a project.", _claude(server, url, token)),
        Snippet(".mcp.json", "For clients that read a project file.", _mcp_json(server, url, token)),
        Snippet(
            "curl", "Says hello: the server answers with its name and what it can do.", _curl(url, token)
        ),
    ]


def _claude(server: Server, url: str, token: str) -> str:
    words = ["claude", "mcp", "add", "--transport", "http", server.slug, url]
    return f"{shlex.join(words)} --header {_quoted(f'Authorization: Bearer {token}')}"


def _mcp_json(server: Server, url: str, token: str) -> str:
    entry = {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {token}"}}
    return json.dumps({"mcpServers": {server.slug: entry}}, indent=2)


def _curl(url: str, token: str) -> str:
    headers = (f"Authorization: Bearer {token}", "Content-Type: application/json",
               "Accept: application/json, text/event-stream")  # fmt: skip
    lines = [
        f"curl -sS {shlex.quote(url)}",
        *(f"-H {_quoted(h)}" for h in headers),
        f"-d '{json.dumps(HELLO)}'",
    ]
    return " \\\n  ".join(lines)


def _quoted(text: str) -> str:
    return f'"{text}"'
