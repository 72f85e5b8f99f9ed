"""The data path's few questions to the database: on two threads of its own, with connections looked after."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections

K = TypeVar("K")
V = TypeVar("V")
THREADS = 2


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
    def asked(key: K) -> V:
        close_old_connections()
        try:
            return query(key)
        finally:
            close_old_connections()

    return asked


def _close_after(together: threading.Barrier) -> None:
    together.wait()
    connections.close_all()
