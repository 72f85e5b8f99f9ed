"""Answers `GET /livez` and `GET /readyz` in every process, for programs that restart it or send it requests.

livez: the process answers and its threads are alive. It asks no other part, because a restart of this process
would not repair that part. readyz: in addition there is a thread for requests, and the database answers and
has the schema. The answers hold nothing secret, so anybody may ask.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from django.db import connections

from servers.operations import health

PATHS = ("/livez", "/readyz")
TIMEOUT = 3.0
OK = "ok"


class Vital:
    """The threads without which this process is useless. `watch` replaces those of an earlier call."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def watch(self, threads: Iterable[threading.Thread]) -> None:
        self._threads = list(threads)

    def fault(self) -> str:
        """Returns which of the threads have ended, as a sentence, or ""."""
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        return f"Threads have ended: {', '.join(dead)}." if dead else ""


vital = Vital()


class Readiness:
    """Checks whether the process can serve requests.

    Requests that come during a check share it, so that a database which hangs blocks one thread only.
    `threads` returns what is wrong with the threads for requests, or "".
    """

    def __init__(self, threads: Callable[[], str]) -> None:
        self._threads = threads
        self._asking: asyncio.Task[str] | None = None
        self._has_schema = False

    async def fault(self) -> str:
        """Returns why the process is not ready, as a sentence, or "". Takes at most TIMEOUT seconds."""
        if fault := self._threads():
            return fault
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        try:
            return await asyncio.wait_for(asyncio.shield(self._asking), TIMEOUT)
        except TimeoutError:
            return "The database does not answer in time."

    def _ask(self) -> str:
        """Checks the database.

        Migrations are checked until all were applied once, because that does not change again.
        """
        try:
            checks = health.of_database(migrations=not self._has_schema)
        finally:
            connections.close_all()
        self._has_schema = self._has_schema or all(check.status == health.OK for check in checks)
        return " ".join(check.detail for check in checks if check.status == health.FAILED)


async def application(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    readiness: Readiness,
) -> None:
    fault = vital.fault()
    if not fault and scope["path"] == "/readyz":
        fault = await readiness.fault()
    body = f"{fault or OK}\n".encode()
    head = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 503 if fault else 200, "headers": head})
    await send({"type": "http.response.body", "body": body})
