from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.accounts import api, outsider, owner, server, session, staff, team

__all__ = ["api", "outsider", "owner", "server", "session", "staff", "team"]


class RegistryApi:
    """A registry API on loopback; `raw` maps paths to answers of other kinds."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}
        self.raw: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def publish(self, document: dict[str, Any]) -> None:
        self.documents[document["name"], document["version"]] = document

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(path)
        if parts.path in self.raw:
            return self.raw[parts.path]
        if parts.path == "/v0.1/servers":
            wanted = parse_qs(parts.query).get("search", [""])[0]
            found = [self._entry(d) for (name, _), d in self.documents.items() if wanted in name]
            return 200, {}, json.dumps({"servers": found, "metadata": {"count": len(found)}}).encode()
        words = [unquote(word) for word in parts.path.split("/")]
        if len(words) == 6 and words[4] == "versions":
            versions = {v: d for (name, v), d in self.documents.items() if name == words[3]}
            found_one = (
                versions[max(versions)] if words[5] == "latest" and versions else versions.get(words[5])
            )
            if found_one:
                return 200, {}, json.dumps(self._entry(found_one)).encode()
        return 404, {}, b'{"error": "Server not found"}'

    def _entry(self, document: dict[str, Any]) -> dict[str, Any]:
        official = {"status": "active", "isLatest": True}
        return {"server": document, "_meta": {"io.modelcontextprotocol.registry/official": official}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                status, headers, body = outer.answer(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture
def registry_api(settings: Any) -> Iterator[RegistryApi]:
    """A registry that CATALOG_REGISTRY_URL names, with fetches from loopback allowed."""
    made = RegistryApi()
    settings.CATALOG_REGISTRY_URL, settings.CATALOG_ALLOW_PRIVATE = made.url, True
    yield made
    made.server.shutdown()
    made.server.server_close()
