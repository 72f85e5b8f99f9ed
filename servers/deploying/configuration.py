"""What a deployment was started with, so that two can be compared. No value can be read from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.crypto import salted_hmac

from servers.models import Server

SETTINGS = ("transport", "port", "path", "command", "cpu", "memory_mb", "pids", "placement")


def of(server: Server, secrets: Mapping[str, str]) -> dict[str, Any]:
    """`environment` and `secrets` map names to a keyed fingerprint of the value, `settings` name the rest."""
    return {
        "environment": {name: _fingerprint(value) for name, value in server.environment.items()},
        "secrets": {name: _fingerprint(value) for name, value in secrets.items()},
        "settings": {name: getattr(server, name) for name in SETTINGS},
    }


def _fingerprint(value: str) -> str:
    """Tells whether two values are the same, to whoever holds the key of this platform; nothing else."""
    return salted_hmac("servers.configuration", value, algorithm="sha256").hexdigest()[:16]
