"""Generates keys at the first start, and writes them to `.env`. They are never printed."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cryptography.fernet import Fernet

from mcphost.env import BadSetting, dotenv_path, stored


def write_missing_keys(base: Path) -> Path | None:
    """Adds the keys that neither the environment nor the file has; returns the file's path if it was written.

    Processes that start at the same time get the same keys. Raises `BadSetting` if the file cannot be read or
    written.
    """
    path = dotenv_path(base)
    if not (missing := _missing(path)):
        return None
    try:
        with _locked(path) as file:
            missing = _missing(path)  # another process may have written them
            _append(file, missing)
    except OSError as error:
        raise BadSetting(
            f"ENV_FILE={path}: cannot be written ({error.strerror}); set {' and '.join(missing)} otherwise."
        ) from None
    return path if missing else None


def _missing(path: Path) -> dict[str, str]:
    known = {**stored(path), **os.environ}
    generated = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "SECRET_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    return {name: value for name, value in generated.items() if not _has(known, name)}


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """Opens and locks the file, and makes it readable for its owner only."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a+b") as file:
        os.fchmod(descriptor, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _append(file: IO[bytes], values: Mapping[str, str]) -> None:
    file.seek(0)
    if (held := file.read()) and not held.endswith(b"\n"):
        file.write(b"\n")
    file.writelines(f"{name}={value}\n".encode() for name, value in values.items())


def _has(known: Mapping[str, str], name: str) -> bool:
    return bool(known.get(name) or known.get(f"{name}_FILE"))
