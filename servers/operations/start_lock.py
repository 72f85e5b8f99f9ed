"""Processes that start side by side migrate one after the other."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

LOCK = 0x6D637068  # "mcph": PostgreSQL knows advisory locks by number


@contextmanager
def held() -> Iterator[None]:
    """Waits for its turn. Raises `DatabaseError` when PostgreSQL does not answer, `OSError` for a DATA_DIR
    that cannot be written.
    """
    with _in_postgresql() if connection.vendor == "postgresql" else _in_file():
        yield


@contextmanager
def _in_postgresql() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


@contextmanager
def _in_file() -> Iterator[None]:
    home = Path(settings.DATA_DIR)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "start.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
