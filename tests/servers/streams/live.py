"""The live feed on a real ASGI server, and a client that reads it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from asgiref.sync import SyncToAsync
from django.db import connections

from api import live
from servers.streams import feed


@contextmanager
def serving() -> Iterator[str]:
    """The address of the app on a free port of the loopback."""
    config = uvicorn.Config(live.application, host="127.0.0.1", port=0, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    started = threading.Event()
    server.startup = _announced(server.startup, started)  # type: ignore[method-assign]
    thread.start()
    assert started.wait(60)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        feed.end_all()
        server.should_exit = True
        thread.join(60)
        # The feed asks the database on this thread, which stays; its connection would hold the database.
        SyncToAsync.single_thread_executor.submit(connections.close_all).result()


def _announced(startup: Callable[..., Any], started: threading.Event) -> Callable[..., Any]:
    async def start(*arguments: Any, **options: Any) -> None:
        await startup(*arguments, **options)
        started.set()

    return start


@dataclass(frozen=True)
class Received:
    type: str
    id: str
    data: str


class Client:
    """Reads one stream, event after event; a read that takes too long fails."""

    def __init__(self, address: str, **headers: str) -> None:
        parts = urlsplit(address)
        self._connection = HTTPConnection(parts.netloc, timeout=60)
        self._connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        self.response = self._connection.getresponse()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    def lines(self) -> Iterator[str]:
        while line := self.response.readline():
            yield line.decode().removesuffix("\n")

    def __iter__(self) -> Iterator[Received]:
        fields: dict[str, list[str]] = {}
        for line in self.lines():
            if line:
                name, _, value = line.partition(":")
                fields.setdefault(name or "comment", []).append(value.removeprefix(" "))
            elif fields:
                yield Received(*("\n".join(fields.get(key, [])) for key in ("event", "id", "data")))
                fields = {}

    def take(self, count: int, *types: str) -> list[Received]:
        """The next `count` events of these types; others are passed over."""
        found: list[Received] = []
        for event in self:
            if event.type in types:
                found.append(event)
                if len(found) == count:
                    return found
        raise AssertionError(f"the stream ended after {len(found)} of {count} events")
