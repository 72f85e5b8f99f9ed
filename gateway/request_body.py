"""The caller's side of an exchange: the body of the request, and whether the caller is still connected."""

from __future__ import annotations

import asyncio

from gateway import errors
from gateway.types import Receive


class CallerLeft(Exception):
    """The caller closed the connection."""


class Inbox:
    """Receives the request. Only one of `read`, `next` and `wait_until_left` may run at a time.

    `size` counts the body's bytes; `over` tells that the body is complete, `left` that the caller has
    disconnected.
    """

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit = receive, limit
        self._drained = asyncio.Event()
        self.size = 0
        self.over = False
        self.left = False

    def skip(self) -> None:
        """Tells that the request has no body."""
        self._finish()

    async def read(self, up_to: int) -> bytes:
        """Returns the body, or its beginning if it is longer than `up_to` bytes; `over` tells which.

        Raises `Refusal` (413) past the limit, and `CallerLeft`.
        """
        parts: list[bytes] = []
        while not self.over and self.size <= up_to:
            parts.append(await self.next())
        return b"".join(parts)

    async def wait_until_left(self) -> None:
        """Waits until the body was read and the caller has disconnected."""
        await self._drained.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True

    async def next(self) -> bytes:
        """Returns the next piece, which may be b"". Raises as `read` does."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left = True
            raise CallerLeft
        chunk: bytes = message.get("body", b"")
        self.size += len(chunk)
        if self.size > self._limit:
            raise errors.too_large(self._limit)
        if not message.get("more_body", False):
            self._finish()
        return chunk

    def _finish(self) -> None:
        self.over = True
        self._drained.set()
