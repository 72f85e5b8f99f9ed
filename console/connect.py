"""How a client reaches a server: its URL, and what to paste where."""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.http import HttpRequest

from bridge import protocol
from servers.models import Server

NO_TOKEN = "<token>"  # noqa: S105  (stands where a token goes)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": protocol.NEWEST_LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "curl", "version": "1"},
    },
}
DISCOVER: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "server/discover",
    "params": {
        "_meta": {
            protocol.VERSION_KEY: protocol.NEWEST_MODERN,
            protocol.CLIENT_KEY: {"name": "curl", "version": "1"},
            protocol.CAPABILITIES_KEY: {},
        }
    },
}


@dataclass(frozen=True)
class Snippet:
    """`text` is to be pasted into a client. `link` opens a client that adds the server; it holds no token."""

    title: str
    note: str
    text: str
    link: str = ""


def public_url(request: HttpRequest, server: Server) -> str:
    """The server's URL under PUBLIC_URL, else under the host of this request."""
    path = f"/mcp/{server.slug}"
    return f"{settings.PUBLIC_URL}{path}" if settings.PUBLIC_URL else request.build_absolute_uri(path)


def snippets(server: Server, url: str, token: str = NO_TOKEN) -> list[Snippet]:
    slug = server.slug
    return [
        Snippet("Claude Code", "Run it in a project.", _claude(slug, url, token)),
        Snippet(".mcp.json", "For clients that read a project file.", _mcp_json(slug, url, token)),
        Snippet(
            "Cursor",
            f"In .cursor/mcp.json; the token is in the variable {_variable(slug)}.",
            _json({"mcpServers": {slug: _cursor(slug, url)}}),
            _cursor_link(slug, url),
        ),
        Snippet("VS Code", "In .vscode/mcp.json; it asks for the token once.", _vs_code(server, url)),
        Snippet("mcp-remote", "For clients that only start programs.", _remote(slug, url, token)),
        Snippet(
            "Inspector", "Lists the tools. Without --cli it opens its web pages.", _inspector(url, token)
        ),
        Snippet(
            "curl",
            "Sends the first request: the server answers with its name and capabilities.",
            _curl(url, token, modern=_is_modern(server)),
        ),
    ]


def _claude(slug: str, url: str, token: str) -> str:
    words = ["claude", "mcp", "add", "--transport", "http", slug, url]
    return f"{shlex.join(words)} --header {_quoted(f'Authorization: Bearer {token}')}"


def _mcp_json(slug: str, url: str, token: str) -> str:
    entry = {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {token}"}}
    return _json({"mcpServers": {slug: entry}})


def _cursor(slug: str, url: str) -> dict[str, Any]:
    return {"url": url, "headers": {"Authorization": f"Bearer ${{env:{_variable(slug)}}}"}}


def _cursor_link(slug: str, url: str) -> str:
    config = base64.b64encode(json.dumps(_cursor(slug, url)).encode()).decode()
    return f"cursor://anysphere.cursor-deeplink/mcp/install?name={quote(slug)}&config={quote(config)}"


def _vs_code(server: Server, url: str) -> str:
    name = f"{server.slug}-token"
    asked = {
        "type": "promptString", "id": name, "description": f"Token for {server.name}", "password": True,
    }  # fmt: skip
    entry = {"type": "http", "url": url, "headers": {"Authorization": f"Bearer ${{input:{name}}}"}}
    return _json({"inputs": [asked], "servers": {server.slug: entry}})


def _remote(slug: str, url: str, token: str) -> str:
    """The header's value comes from a variable: some clients cut arguments at their spaces."""
    plain = ["--allow-http"] if _needs_leave(url) else []
    arguments = ["mcp-remote", url, "--header", "Authorization:${AUTH_HEADER}", *plain]
    entry = {"command": "npx", "args": arguments, "env": {"AUTH_HEADER": f"Bearer {token}"}}
    return _json({"mcpServers": {slug: entry}})


def _inspector(url: str, token: str) -> str:
    words = ["npx", "@modelcontextprotocol/inspector", "--cli", url, "--transport", "http"]
    header = _quoted(f"Authorization: Bearer {token}")
    return f"{shlex.join(words)} --header {header} --method tools/list"


def _curl(url: str, token: str, *, modern: bool) -> str:
    era = _headers_of(DISCOVER) if modern else ()
    headers = (f"Authorization: Bearer {token}", "Content-Type: application/json",
               "Accept: application/json, text/event-stream", *era)  # fmt: skip
    lines = [
        f"curl -sS {shlex.quote(url)}",
        *(f"-H {_quoted(h)}" for h in headers),
        f"-d '{json.dumps(DISCOVER if modern else HELLO)}'",
    ]
    return " \\\n  ".join(lines)


def _headers_of(message: dict[str, Any]) -> tuple[str, ...]:
    """The headers in which a request of the modern era repeats parts of its body."""
    said = {protocol.VERSION_HEADER: protocol.NEWEST_MODERN, protocol.METHOD_HEADER: message["method"]}
    return tuple(f"{name}: {value}" for name, value in said.items())


def _is_modern(server: Server) -> bool:
    """Whether the server speaks only the modern era of the protocol."""
    current = server.current_deployment
    return bool(current and current.facts.get("era") == "modern")


def _needs_leave(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in LOOPBACK


def _variable(slug: str) -> str:
    return f"{slug.upper().replace('-', '_')}_TOKEN"


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def _quoted(text: str) -> str:
    return f'"{text}"'
