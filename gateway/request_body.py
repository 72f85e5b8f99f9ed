"""The caller's side of one exchange: its body, and whether it is still there."""

from __future__ import annotations

import asyncio

from gateway import errors
from gateway.types import Receive


class CallerLeft(Exception):
    """The caller closed the connection."""


class Inbox:
    """Only one of `read`, `next` and `wait_until_left` receives at a time. `size` counts the body's bytes."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit = receive, limit
        self._drained = asyncio.Event()
        self.size = 0
        self.over = False
        self.left = False

    def skip(self) -> None:
        """There is no body to expect."""
        self._finish()

    async def read(self, up_to: int) -> bytes:
        """The body, or its beginning where it is longer than `up_to`; `over` tells which.

        Raises `Refusal` (413) past the limit, `CallerLeft`.
        """
        parts: list[bytes] = []
        while not self.over and self.size <= up_to:
            parts.append(await self.next())
        return b"".join(parts)

    async def wait_until_left(self) -> None:
        await self._drained.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True

    async def next(self) -> bytes:
        """The next piece, maybe b"". Raises as `read` does."""
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
