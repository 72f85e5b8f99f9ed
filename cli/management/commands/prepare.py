from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError

from cli.terminal import ShownCommand
from servers.operations import first_run, schema


class Command(ShownCommand):
    help = (
        "Migrates the database and creates the first administrator, for parts that start with "
        "MIGRATE_ON_START=false. It may be run again, and by several processes at once."
    )
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            schema.migrate()
            login = first_run.administrator()
        except DatabaseError as error:
            raise CommandError(
                f"The database could not be prepared: {str(error).strip().partition(chr(10))[0]}"
            ) from error
        except OSError as error:
            raise CommandError(f"DATA_DIR={settings.DATA_DIR} cannot be used: {error.strerror}.") from error
        self.stdout.write("The database has the schema of this version.")
        if login:
            self.stdout.write(f"  Login  {login.username}   Password  {login.shown}")
