"""Describes hosted servers as a registry does: server.json documents that name our gateway.

Pure functions.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from catalog.document import SCHEMA_URL, Document

OFFICIAL = "io.modelcontextprotocol.registry/official"
PUBLISHER = "io.modelcontextprotocol.registry/publisher-provided"
LONGEST_TEXT = 100


@dataclass(frozen=True)
class Hosted:
    """A hosted server. `number` is that of the deployment that made the current build; times are aware.

    `says` are the facts of its handshake, `origin` is `Server.origin`.
    """

    slug: str
    name: str
    url: str
    number: int
    published_at: datetime
    updated_at: datetime
    says: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The version at the registry API: `1.0.<number>`."""
        return f"1.0.{self.number}"


def namespace(host: str) -> str:
    """Returns the reverse-DNS form of a host: `mcp.example.org` is `org.example.mcp`.

    An IP address is kept.
    """
    name = host.partition(":")[0] if host.count(":") == 1 else host
    try:
        return str(ipaddress.ip_address(name.strip("[]"))).replace(":", "-")
    except ValueError:
        return ".".join(reversed(name.strip(".").split("."))) or "localhost"


def response(hosted: Hosted, space: str) -> dict[str, Any]:
    """Returns `{server, _meta}`, the registry API's shape of a server."""
    official = {
        "status": "active",
        "publishedAt": _moment(hosted.published_at),
        "updatedAt": _moment(hosted.updated_at),
        "isLatest": True,
    }
    return {"server": server(hosted, space), "_meta": {OFFICIAL: official}}


def server(hosted: Hosted, space: str) -> Document:
    """Returns the server.json.

    The package that it was made of is named as well: others may host it themselves.
    """
    package = hosted.origin.get("package")
    return {
        "$schema": SCHEMA_URL,
        "name": f"{space}/{hosted.slug}",
        "title": hosted.name[:LONGEST_TEXT],
        "description": _description(hosted, space),
        "version": hosted.version,
        "remotes": [remote(hosted.url)],
        **({"packages": [dict(package)]} if package else {}),
        "_meta": {PUBLISHER: _told(hosted)},
    }


def remote(url: str) -> dict[str, Any]:
    """Returns the entry of `remotes` for a server at this URL."""
    return {
        "type": "streamable-http",
        "url": url,
        "headers": [
            {
                "name": "Authorization",
                "description": "A token of this platform.",
                "isRequired": True,
                "isSecret": True,
                "value": "Bearer {token}",
                "variables": {
                    "token": {
                        "description": "A token of scope mcp.",
                        "isRequired": True,
                        "isSecret": True,
                        "placeholder": "mcph_…",
                    }
                },
            }
        ],
    }


def _description(hosted: Hosted, space: str) -> str:
    text = str(hosted.origin.get("description") or hosted.says.get("instructions") or "")
    line = text.strip().partition("\n")[0]
    if not line:
        line = f"{hosted.name}, hosted by {space}"
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"


def _told(hosted: Hosted) -> dict[str, Any]:
    """Returns what the server says of itself, and the document that it was made of."""
    told = {
        "serverInfo": {key: hosted.says[key] for key in ("name", "version") if hosted.says.get(key)},
        "protocolVersions": list(hosted.says.get("protocol_versions") or ()),
        "origin": {
            key: hosted.origin[key] for key in ("name", "version", "digest") if hosted.origin.get(key)
        },
    }
    return {key: value for key, value in told.items() if value}


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
