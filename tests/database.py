"""The database of the tests: migrated once, copied for each worker, emptied without being filled again."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import django
import pytest
from django.apps import apps
from django.core.management.color import no_style
from django.db import connection
from django.test import TransactionTestCase
from django.test.utils import setup_databases, teardown_databases
from pytest_django import DjangoDbBlocker

from deploy.bench.cache import cache_directory, cache_lock

# What Django's own `flush` deletes and then makes again, row by row: nine tenths of its time.
_KEPT = {"auth_permission", "django_content_type"}


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Migrating takes as long as hundreds of tests: one worker does it, once."""
    with django_db_blocker.unblock(), cache_lock("test-database"):
        made = _on_postgres() if connection.vendor == "postgresql" else _on_sqlite()
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session", autouse=True)
def _quick_flush() -> Iterator[None]:
    """A test with transactions of its own leaves empty tables, as Django's `flush` would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", _empty)
        yield


def _empty(case: TransactionTestCase) -> None:
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    statements = connection.ops.sql_flush(no_style(), sorted(set(tables) - _KEPT))
    connection.ops.execute_sql_flush(statements)


def _on_sqlite() -> Any:
    """A file in the cache directory is what is copied."""
    kept = cache_directory() / f"test-database-{_migrations()}.sqlite3"
    used, known = connection.settings_dict["TEST"]["NAME"], kept.exists()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{used}{suffix}").unlink(missing_ok=True)
    if known:
        shutil.copyfile(kept, used)
    made = _set_up(keepdb=known)
    if not known:
        _keep(kept)
    return made


def _keep(kept: Path) -> None:
    whole = kept.with_suffix(".part")
    with closing(sqlite3.connect(whole)) as copy:
        connection.connection.backup(copy)
    whole.replace(kept)


def _on_postgres() -> Any:
    """A database beside the others is what is copied; the service of the tests ends with them."""
    kept = f"migrated_{_migrations()}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [kept])
        known = cursor.fetchone() is not None
    connection.settings_dict["TEST"]["TEMPLATE"] = kept if known else None
    made = _set_up(keepdb=False)
    if not known:
        used = connection.settings_dict["NAME"]
        connection.close()  # what is copied may have no connections
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{kept}" TEMPLATE "{used}"')
    return made


def _set_up(*, keepdb: bool) -> Any:
    return setup_databases(verbosity=0, interactive=False, keepdb=keepdb, serialized_aliases=())


def _migrations() -> str:
    """A name for all migrations of all applications."""
    digest = hashlib.sha256(django.__version__.encode())
    for app in apps.get_app_configs():
        for path in sorted(Path(app.path, "migrations").glob("*.py")):
            digest.update(f"{app.label}/{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
