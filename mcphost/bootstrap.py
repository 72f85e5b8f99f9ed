"""The first start's keys: generated, written to `.env`, never printed."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet
from dotenv import dotenv_values

from mcphost.env import dotenv_path


def write_missing_keys(base: Path) -> Path | None:
    """Adds the keys that neither the environment nor the file has; the file's path if it was written."""
    path = dotenv_path(base)
    known = {**dotenv_values(path), **os.environ}
    generated = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "SECRET_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    missing = {name: value for name, value in generated.items() if not _has(known, name)}
    if not missing:
        return None
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a") as file:
        file.writelines(f"{name}={value}\n" for name, value in missing.items())
    return path


def _has(known: dict[str, str | None], name: str) -> bool:
    return bool(known.get(name) or known.get(f"{name}_FILE"))
