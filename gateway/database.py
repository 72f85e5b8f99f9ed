"""The data path's few questions to the database: on two threads of its own, with connections looked after."""

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
    """Runs queries off the event loop; it never holds more than `THREADS` connections. A question that has no
    answer after `patience` seconds, its turn included, is a `Refusal` (503), whatever its thread hangs at."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway-db")

    def asks(self, query: Callable[[K], V]) -> Callable[[K], Awaitable[V]]:
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
        """Blocks until the last query is over."""
        close_pool(self._pool, THREADS)


def _with_fresh_connection(query: Callable[[K], V]) -> Callable[[K], V]:
    """The query, which raises `Refusal` (503) where the database fails."""

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
    """Ends a pool of that many threads, and the database connections that are each thread's own."""
    together = threading.Barrier(threads)
    closing = [pool.submit(_close_after, together) for _ in range(threads)]
    wait(closing, timeout=PATIENCE)
    pool.shutdown(wait=False, cancel_futures=True)


def _close_after(together: threading.Barrier) -> None:
    """Holds its thread until every other is here, so that none is left out; not for ever, if one is stuck."""
    with contextlib.suppress(threading.BrokenBarrierError):
        together.wait(PATIENCE)
    connections.close_all()
