"""A client of a registry API (`/v0.1/servers`): searches a name, reads one version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from django.conf import settings

from catalog import document, fetch
from catalog.document import Document
from catalog.fetch import Guard, Unreachable

FOUND = 30
LIST_BYTES = 4 << 20
OFFICIAL = "io.modelcontextprotocol.registry/official"


@dataclass(frozen=True)
class Entry:
    """A server in a list of a registry."""

    name: str
    version: str
    title: str
    description: str
    status: str
    packages: tuple[str, ...]


def base_url() -> str:
    """Returns the URL of the configured registry."""
    return str(settings.CATALOG_REGISTRY_URL).rstrip("/")


def search(text: str) -> list[Entry]:
    """Returns servers whose name contains `text`, newest versions only. Raises `UserError`."""
    query = urlencode({"search": text, "version": "latest", "limit": FOUND})
    found = _read(f"{base_url()}/v0.1/servers?{query}", LIST_BYTES)
    servers = found.get("servers") if isinstance(found, dict) else None
    if not isinstance(servers, list):
        raise Unreachable(f"{base_url()} answers no list of servers.")
    return list(_entries(servers))


def url_of(name: str, version: str = "latest", registry: str = "") -> str:
    """Returns the URL at which a registry serves a version of a server."""
    base = registry.rstrip("/") or base_url()
    return f"{base}/v0.1/servers/{quote(name, safe='')}/versions/{quote(version, safe='')}"


def read(name: str, version: str = "latest", registry: str = "") -> Document:
    """Returns a version of a server. Raises `UserError`, and `Invalid` for an invalid document."""
    return read_url(url_of(name, version, registry))


def read_url(url: str) -> Document:
    """Returns the document at a URL. Raises as `read` does."""
    return document.parse(fetch.get(url, _guard(document.LARGEST)))


def _read(url: str, most_bytes: int) -> Any:
    try:
        return orjson.loads(fetch.get(url, _guard(most_bytes)))
    except orjson.JSONDecodeError:
        raise Unreachable(f"{base_url()} answers something else than JSON.") from None


def _guard(most_bytes: int) -> Guard:
    return Guard(private=settings.CATALOG_ALLOW_PRIVATE, most_bytes=most_bytes)


def _entries(servers: list[Any]) -> Iterator[Entry]:
    for answer in servers:
        server = answer.get("server") if isinstance(answer, dict) else None
        if not isinstance(server, dict) or not server.get("name"):
            continue
        meta = answer.get("_meta")
        official = meta.get(OFFICIAL) if isinstance(meta, dict) else None
        yield Entry(
            name=str(server["name"]),
            version=str(server.get("version", "")),
            title=str(server.get("title") or ""),
            description=str(server.get("description") or ""),
            status=str(official.get("status", "active") if isinstance(official, dict) else "active"),
            packages=tuple(_kinds(server.get("packages"))),
        )


def _kinds(packages: Any) -> Iterator[str]:
    for each in packages if isinstance(packages, list) else ():
        if isinstance(each, dict):
            yield str(each.get("registryType", ""))
