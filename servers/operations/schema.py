"""The database's schema: brought up to date by one process, waited for by those that start with others."""

from __future__ import annotations

import logging
import time

from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from hosting.errors import UserError
from servers.operations import start_lock

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0


class NotMigrated(UserError):
    """Nobody brought the schema in time."""


def migrate() -> None:
    """One after the other where several start at once. Raises what Django and the database raise."""
    with start_lock.held():
        call_command("migrate", verbosity=0, interactive=False)


def pending() -> int:
    """Migrations that are not applied. Raises `DatabaseError`."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def wait(seconds: float) -> None:
    """Until every migration is applied. Raises `NotMigrated` when that has not come in time."""
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
