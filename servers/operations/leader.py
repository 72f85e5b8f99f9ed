"""Lets one of several reconcilers lead: the process that holds a lock of the database.

PostgreSQL frees an advisory lock when its connection ends, so another process leads within TRY_SECONDS after
the leader has died. A leader that cannot reach the database stops leading after LEASE_SECONDS; the database
drops such a connection later than that (KEEPALIVES). After a restart of the database, two processes may lead
for up to TRY_SECONDS. That does no harm, because each outcome is a guarded update.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from django.conf import settings
from django.db import DatabaseError, connection

from metrics import prometheus

logger = logging.getLogger(__name__)
LOCK = 0x6D636C64  # "mcld": PostgreSQL knows advisory locks by number
TRY_SECONDS = 1.0
LEASE_SECONDS = 5.0
# For PostgreSQL's side of the leader's connection: 5 s of silence, then 3 probes, 2 s apart.
KEEPALIVES = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}
HELD = """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = %s
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


class Lock(Protocol):
    def take(self) -> bool:
        """Tells whether this process holds the lock, taking it if it is free.

        Raises `DatabaseError` or `OSError` if that cannot be found out.
        """

    def free(self) -> None: ...


class DatabaseLock:
    """An advisory lock on a connection of its own.

    The connection must go to PostgreSQL itself, or to a pool in session mode.
    """

    def __init__(self) -> None:
        self._own = connection.copy()
        reach = {"connect_timeout": 5, "tcp_user_timeout": 5000}
        self._own.settings_dict["OPTIONS"] = {**self._own.settings_dict["OPTIONS"], **reach}
        self._own.settings_dict["CONN_HEALTH_CHECKS"] = False  # they reconnect, without the lock

    def take(self) -> bool:
        fresh = self._own.connection is None
        with self._own.cursor() as cursor:
            if fresh:
                for name, value in KEEPALIVES.items():
                    cursor.execute("SELECT set_config(%s, %s, false)", [name, value])
            cursor.execute(f"{HELD} AND pid = pg_backend_pid()", [LOCK])
            if not cursor.fetchone()[0]:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
                return bool(cursor.fetchone()[0])
        return True

    def free(self) -> None:
        self._own.close()


class FileLock:
    """A lock for SQLite, which only processes of one machine share."""

    def __init__(self) -> None:
        self._file: IO[str] | None = None

    def take(self) -> bool:
        if self._file is None:
            self._file = _locked(fcntl.LOCK_EX)
        return self._file is not None

    def free(self) -> None:
        if self._file:
            self._file.close()
        self._file = None


class Leader:
    """Keeps or awaits the lock in a thread of its own. `leads` only compares times.

    `begins` is called when this process begins to lead.
    """

    def __init__(self, begins: Callable[[], None] = lambda: None) -> None:
        self._begins = begins
        self._until = 0.0
        self._led: bool | None = None  # as it was logged last
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="leader", daemon=True)

    def start(self) -> None:
        prometheus.LEADS.set_function(lambda: float(self.leads()))
        self._thread.start()

    def leads(self) -> bool:
        """Tells whether this process leads now."""
        return time.monotonic() < self._until

    def stop(self) -> None:
        """Frees the lock, so that another process may lead."""
        self._stopping.set()
        self._thread.join()

    def _keep(self) -> None:
        lock: Lock = DatabaseLock() if connection.vendor == "postgresql" else FileLock()
        while not self._stopping.is_set():
            self._look(lock)
            self._stopping.wait(TRY_SECONDS)
        self._until = 0.0
        lock.free()

    def _look(self, lock: Lock) -> None:
        began, why = time.monotonic(), "another has the lock"
        try:
            held = lock.take()
        except (DatabaseError, OSError) as error:
            held, why = False, str(error).strip().partition("\n")[0]
            lock.free()
        self._until = began + LEASE_SECONDS if held else 0.0
        self._tell(held, why)

    def _tell(self, held: bool, why: str) -> None:
        if held and not self._led:
            logger.info("this reconciler leads")
            self._begins()
        elif self._led and not held:
            logger.warning("this reconciler leads no more: %s", why)
        elif self._led is None:
            logger.info("this reconciler waits for its turn to lead: %s", why)
        self._led = held


def somebody_leads() -> bool:
    """Tells whether any process of this platform leads. Raises `DatabaseError` or `OSError`."""
    if connection.vendor != "postgresql":
        free = _locked(fcntl.LOCK_SH)
        if free:
            free.close()
        return free is None
    with connection.cursor() as cursor:
        cursor.execute(HELD, [LOCK])
        return bool(cursor.fetchone()[0])


def _locked(how: int) -> IO[str] | None:
    file = (Path(settings.DATA_DIR) / "leader.lock").open("a")
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
