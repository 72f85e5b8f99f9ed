"""Examples and forms for the OpenAPI schema."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

NEW_SERVERS = [
    OpenApiExample(
        "A package from PyPI",
        request_only=True,
        media_type="application/json",
        value={"name": "Time", "source": {"kind": "package", "ecosystem": "pypi", "name": "mcp-server-time"}},
    ),
    OpenApiExample(
        "A git repository",
        request_only=True,
        media_type="application/json",
        value={
            "name": "Weather",
            "source": {"kind": "git", "url": "https://git.example.org/team/weather.git", "ref": "main"},
            "build": {"member": "services/weather", "groups": ["server"], "python": "3.12"},
            "environment": {"UNITS": "metric"},
            "secrets": {"API_KEY": "…"},
            "limits": {"cpu": 0.5, "memory_mb": 256, "pids": 64},
        },
    ),
]
METRIC = OpenApiExample(
    "A push that succeeded",
    response_only=True,
    value={
        "next": None,
        "results": [
            {
                "id": 42,
                "server": 7,
                "deployment": 3,
                "timestamp": "2026-11-22T16:55:53.120000Z",
                "event_type": "push_succeeded",
                "details": {
                    "attempt": 1,
                    "retry_limit": 3,
                    "registry_endpoint": "registry.example.org/team/server",
                    "platform": "linux/arm64",
                    "digest": "sha256:" + "0" * 64,
                    "duration_ms": 5210,
                },
            }
        ],
    },
)
_FILE = {"type": "string", "format": "binary", "description": ".tar.gz, .tgz, .tar or .zip"}
ARCHIVE_FORM: dict[str, Any] = {
    "multipart/form-data": {"type": "object", "required": ["archive"], "properties": {"archive": _FILE}}
}
NEW_SERVER_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["server"],
    "properties": {
        "server": {"type": "string", "description": "The JSON document of a new server, as text."},
        "archive": _FILE,
    },
}
