"""Of all reconcilers one leads: the one that holds a lock of the database.

PostgreSQL frees an advisory lock when the connection that took it ends, so a leader that dies is followed
within TRY_SECONDS. A leader that no longer reaches the database stops leading after LEASE_SECONDS; the
database gives up such a connection later than that (KEEPALIVES). When the database itself restarts, two may
lead for up to TRY_SECONDS: a pass does no harm when it is done twice, for each outcome is a guarded update.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from pathlib import Path
from typing import IO, Protocol

from django.conf import settings
from django.db import DatabaseError, connection

from metrics import prometheus

logger = logging.getLogger(__name__)
LOCK = 0x6D636C64  # "mcld": PostgreSQL knows advisory locks by number
TRY_SECONDS = 1.0
LEASE_SECONDS = 5.0
# The server's side of the leader's connection: 5 s of silence, then 3 probes, 2 s apart.
KEEPALIVES = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}
HELD = """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = %s
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


class Lock(Protocol):
    def take(self) -> bool:
        """Whether we hold it, from now on or still. Raises `DatabaseError` or `OSError` if none can tell."""

    def free(self) -> None: ...


class DatabaseLock:
    """On a connection of its own. It has to be one to PostgreSQL itself, or to a pool that pools sessions."""

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
    """For SQLite, which only processes of one machine share."""

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
    """This process's part in it. `leads` costs nothing; a thread keeps the lock, or waits for it."""

    def __init__(self) -> None:
        self._until = 0.0
        self._led: bool | None = None  # as it was told last
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="leader", daemon=True)

    def start(self) -> None:
        prometheus.LEADS.set_function(lambda: float(self.leads()))
        self._thread.start()

    def leads(self) -> bool:
        return time.monotonic() < self._until

    def stop(self) -> None:
        """Another may lead from now on."""
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
        elif self._led and not held:
            logger.warning("this reconciler leads no more: %s", why)
        elif self._led is None:
            logger.info("this reconciler waits for its turn to lead: %s", why)
        self._led = held


def somebody_leads() -> bool:
    """Whether any process of this platform does; for health. Raises `DatabaseError` or `OSError`."""
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
