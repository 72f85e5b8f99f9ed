"""The data path's few questions to the database: on two threads of its own, with connections looked after."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import Error, close_old_connections, connections

from gateway import errors

K = TypeVar("K")
V = TypeVar("V")
log = logging.getLogger(__name__)
THREADS = 2
RETRY_AFTER = 5


class DatabaseThreads:
    """Runs queries off the event loop; it never holds more than `THREADS` connections."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway-db")

    def asks(self, query: Callable[[K], V]) -> Callable[[K], Awaitable[V]]:
        return sync_to_async(_with_fresh_connection(query), thread_sensitive=False, executor=self._pool)

    def close(self) -> None:
        """Blocks until the last query is over; every thread closes the connections that are its own."""
        together = threading.Barrier(THREADS)
        for _ in range(THREADS):
            self._pool.submit(_close_after, together)
        self._pool.shutdown()


def _with_fresh_connection(query: Callable[[K], V]) -> Callable[[K], V]:
    """The query, which raises `Refusal` (503) where the database fails."""

    def asked(key: K) -> V:
        close_old_connections()
        try:
            return query(key)
        except Error as fault:
            log.warning("the gateway cannot ask the database", exc_info=True)
            raise errors.unavailable("The platform cannot reach its database.", RETRY_AFTER) from fault
        finally:
            close_old_connections()

    return asked


def _close_after(together: threading.Barrier) -> None:
    together.wait()
    connections.close_all()
