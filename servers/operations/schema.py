"""Brings the database's schema up to date in one process, or waits until another one has done it."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from hosting.errors import UserError

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
LOCK = 0x6D637068  # "mcph": PostgreSQL knows advisory locks by number


class NotMigrated(UserError):
    """The schema was not up to date in time."""


def migrate() -> None:
    """Applies the migrations; several processes do this one after another.

    Raises what Django's command and the database raise.
    """
    with _one_at_a_time():
        call_command("migrate", verbosity=0, interactive=False)


def pending() -> int:
    """Returns how many migrations are not applied. Raises `DatabaseError`."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def wait(seconds: float) -> None:
    """Waits until every migration is applied. Raises `NotMigrated` after `seconds`."""
    until, said = time.monotonic() + seconds, ""
    while fault := _fault():
        if time.monotonic() > until:
            raise NotMigrated(f"{fault} It was waited for {seconds:g} s.", hint="Run `manage.py prepare`.")
        if fault != said:
            logger.warning("waiting for the database: %s", fault)
            said = fault
        time.sleep(LOOK_SECONDS)


def _fault() -> str:
    try:
        count = pending()
    except DatabaseError as error:
        connection.close()
        return f"The database does not answer: {str(error).strip().partition(chr(10))[0]}."
    return f"{count} migrations are not applied (MIGRATE_ON_START=false)." if count else ""


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Waits for a lock, and holds it during the block.

    Raises `DatabaseError` if PostgreSQL does not answer, and `OSError` if DATA_DIR cannot be written.
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
