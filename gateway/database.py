"""Runs the gateway's queries on two threads of its own, and replaces broken connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import Error, close_old_connections, connections

from gateway import errors
from gateway.errors import Refusal

K = TypeVar("K")
V = TypeVar("V")
log = logging.getLogger(__name__)
THREADS = 2
RETRY_AFTER = 5
PATIENCE = 5.0


class DatabaseThreads:
    """Runs queries outside of the event loop, with at most `THREADS` connections.

    `patience` are the seconds for which a caller waits, also for a free thread.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway-db")

    def asks(self, query: Callable[[K], V]) -> Callable[[K], Awaitable[V]]:
        """Returns the query as an async function.

        It raises `Refusal` (503) if there is no answer after `patience` seconds, or if the database fails.
        """
        ask = sync_to_async(_with_fresh_connection(query), thread_sensitive=False, executor=self._pool)

        async def asked(key: K) -> V:
            try:
                async with asyncio.timeout(self._patience):
                    return await ask(key)
            except TimeoutError:
                log.warning("the database does not answer the gateway within %g s", self._patience)
                raise _away() from None

        return asked

    def close(self) -> None:
        """Blocks until the last query has ended."""
        close_pool(self._pool, THREADS)


def _with_fresh_connection(query: Callable[[K], V]) -> Callable[[K], V]:
    """Returns the query with a checked connection; it raises `Refusal` (503) if the database fails."""

    def asked(key: K) -> V:
        close_old_connections()
        try:
            return query(key)
        except Error as fault:
            log.warning("the gateway cannot ask the database", exc_info=True)
            raise _away() from fault
        finally:
            close_old_connections()

    return asked


def _away() -> Refusal:
    return errors.unavailable("The platform cannot reach its database.", RETRY_AFTER)


def close_pool(pool: ThreadPoolExecutor, threads: int) -> None:
    """Ends a pool of `threads` threads and closes the database connection of each."""
    together = threading.Barrier(threads)
    closing = [pool.submit(_close_after, together) for _ in range(threads)]
    wait(closing, timeout=PATIENCE)
    pool.shutdown(wait=False, cancel_futures=True)


def _close_after(together: threading.Barrier) -> None:
    """Waits until all threads of the pool are here, so that each closes its connection; at most `PATIENCE`
    seconds.
    """
    with contextlib.suppress(threading.BrokenBarrierError):
        together.wait(PATIENCE)
    connections.close_all()
