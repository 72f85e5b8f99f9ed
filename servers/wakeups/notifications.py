"""Wake-ups through PostgreSQL: LISTEN and NOTIFY.

A process that hears them has one more connection, which must go to PostgreSQL itself, or to a pool in session
mode.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

CHANNEL = "mcphost"
# The other side may vanish without a word: 10 s of silence, then 3 probes, 3 s apart.
KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3, "connect_timeout": 5}
_ME = secrets.token_hex(6)  # PostgreSQL also sends a notification back to the process that sent it


class Notifications:
    """A connection that listens."""

    def __init__(self) -> None:
        self._own = connection.copy()
        settings = self._own.settings_dict
        settings["OPTIONS"] = {**settings["OPTIONS"], **KEEPALIVES}
        with self._own.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")

    def fileno(self) -> int:
        return int(self._own.connection.fileno())

    def take(self) -> list[str]:
        """Raises `django.db.Error` if the connection is broken."""
        with self._own.wrap_database_errors:
            heard = [each.payload.partition(" ") for each in self._own.connection.notifies(timeout=0)]
        return [topic for sender, _, topic in heard if sender != _ME]

    def close(self) -> None:
        self._own.close()


@contextmanager
def line() -> Iterator[Notifications]:
    """Listens while the block runs. Raises `django.db.Error`."""
    listening = Notifications()
    try:
        yield listening
    finally:
        listening.close()


def send(topic: str) -> None:
    """Notifies the other processes. Raises `django.db.Error`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"{_ME} {topic}"])
