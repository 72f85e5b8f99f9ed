"""Does the same work for several platforms at once. The first failure stops the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import TypeVar

from django.db import connection

from hosting.deadline import Deadline
from hosting.errors import Cancelled

T = TypeVar("T")


def for_each(
    platforms: Sequence[str], work: Callable[[str, Deadline], T], *, deadline: Deadline, limit: int
) -> dict[str, T]:
    """Calls `work(platform, deadline)` for each platform, in up to `limit` threads; returns the results in
    order.

    Raises the first failure after all threads have ended. The `Cancelled` of threads that were stopped
    because of it is never raised instead.
    """
    failed = threading.Event()

    def why() -> str:
        return deadline.why() if deadline.cancelled() else "Stopped, since another platform failed."

    shared = replace(deadline, cancelled=lambda: failed.is_set() or deadline.cancelled(), why=why)

    def guarded(platform: str) -> T:
        try:
            return work(platform, shared)
        except BaseException:
            failed.set()
            raise
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=limit, thread_name_prefix="platform") as pool:
        futures = {pool.submit(guarded, platform): platform for platform in platforms}
        _raise_first_failure(list(as_completed(futures)))
    results = {platform: future.result() for future, platform in futures.items()}
    return {platform: results[platform] for platform in platforms}


def _raise_first_failure(done: Sequence[Future[T]]) -> None:
    errors = [error for future in done if (error := future.exception())]
    real = [error for error in errors if not isinstance(error, Cancelled)]
    if errors:
        raise (real or errors)[0]
