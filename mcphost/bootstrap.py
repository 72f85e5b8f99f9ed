"""The first start's keys: generated, written to `.env`, never printed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet

from mcphost.env import BadSetting, dotenv_path, stored


def write_missing_keys(base: Path) -> Path | None:
    """Adds the keys that neither the environment nor the file has; the file's path if it was written.

    Raises `BadSetting` when the file cannot be read or written.
    """
    path = dotenv_path(base)
    known = {**stored(path), **os.environ}
    generated = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "SECRET_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    missing = {name: value for name, value in generated.items() if not _has(known, name)}
    if not missing:
        return None
    try:
        _append(path, missing)
    except OSError as error:
        raise BadSetting(
            f"ENV_FILE={path}: cannot be written ({error.strerror}); set {' and '.join(missing)} otherwise."
        ) from None
    return path


def _append(path: Path, values: Mapping[str, str]) -> None:
    """To a file that only its owner reads from now on, whoever could before."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(descriptor, "a+b") as file:
        file.seek(0)
        if (held := file.read()) and not held.endswith(b"\n"):
            file.write(b"\n")
        file.writelines(f"{name}={value}\n".encode() for name, value in values.items())


def _has(known: Mapping[str, str], name: str) -> bool:
    return bool(known.get(name) or known.get(f"{name}_FILE"))
