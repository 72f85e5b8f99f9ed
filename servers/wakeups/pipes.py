"""Wake-ups beside SQLite, whose processes are on one machine: each that listens has a named pipe.

A sender writes into all pipes of the directory. A pipe that nobody reads is what a killed process left; the
sender removes it.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

_ME = secrets.token_hex(6)
MOST = 65_536  # bytes, and what a pipe holds


class Pipe:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def take(self) -> list[str]:
        return os.read(self._descriptor, MOST).decode().split("\n")[:-1]


@contextmanager
def line() -> Iterator[Pipe]:
    """Listens while the block runs. Raises `OSError`."""
    path = _directory() / f"{_ME}-{secrets.token_hex(2)}.wake"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    hidden = path.with_suffix(".new")  # a sender removes a pipe that it finds before it is opened
    os.mkfifo(hidden, 0o600)
    try:
        # Also open for writing, or it would be at its end whenever the last sender closes it.
        descriptor = os.open(hidden, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            hidden.rename(path)
            yield Pipe(descriptor)
        finally:
            os.close(descriptor)
    finally:
        for each in (hidden, path):
            each.unlink(missing_ok=True)


def send(topic: str) -> None:
    """Writes to the pipes of the other processes. One that is full is left out: its reader wakes anyway.

    Raises `OSError` if one of them cannot be written to, such as that of another account, after all others.
    """
    refused: list[OSError] = []
    with suppress(FileNotFoundError):
        for path in _directory().glob("*.wake"):
            if not path.name.startswith(_ME):
                try:
                    _write(path, f"{topic}\n".encode())
                except OSError as error:
                    refused.append(error)
    if refused:
        raise refused[0]


def _write(path: Path, line: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            path.unlink(missing_ok=True)
        elif error.errno != errno.ENOENT:
            raise
        return
    try:
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _directory() -> Path:
    return Path(settings.DATA_DIR) / "wakeups"
