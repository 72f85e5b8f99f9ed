"""Bodies, whole before anybody works on them: small ones in memory, uploads in a file that has no name.

How fast they have to come is the connection's business (`servers.operations.guarded`).
"""

from __future__ import annotations

import asyncio
import errno
import io
import shutil
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from pathlib import Path
from typing import IO, Any, cast

from django.conf import settings

from servers.front.allowance import SMALL, Allowance
from servers.front.in_flight import InFlight, Share
from servers.front.refusal import Refused

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
PIECE = 1024 * 1024  # written at once
LEAST_FREE = 64 * 1024**2  # bytes of the disk that stay for the database
FULL = "The disk of the platform is full: its operator has to make room in DATA_DIR."


class Left(Exception):
    """The client went away before its request was complete: half an upload must not look whole."""


class Body:
    """`receive` it, use `file` (at its start) and `length` (None: there was none), then `close`."""

    def __init__(self, scope: Message, allow: Callable[[], Awaitable[Allowance]], disk: Executor) -> None:
        self._allow, self._disk = allow, disk
        self._announced, self._comes = _announced(scope)
        self._allowance: Allowance | None = None
        self._share: Share | None = None
        self._held = bytearray()
        self._size = 0
        self._file: IO[bytes] | None = None

    @property
    def length(self) -> int | None:
        return self._size if self._comes else None

    @property
    def file(self) -> IO[bytes]:
        return self._file or io.BytesIO(self._held)

    async def receive(self, receive: Receive, in_flight: InFlight) -> None:
        """Raises `Refused` (413, 429, 503, 507) as soon as that is known, and `Left`."""
        if not self._comes:
            return
        await self._expect(self._announced, in_flight)
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Left
            more = message.get("more_body", False)
            await self._take(message.get("body", b""), in_flight)
        if self._file:
            await self._write()
            self._file.seek(0)

    def close(self) -> None:
        if self._file:
            self._file.close()
        self.release()

    def release(self) -> None:
        """It counts no longer; the file goes with the last who reads it."""
        if self._share:
            self._share.release()

    async def _expect(self, size: int, in_flight: InFlight) -> None:
        if size <= SMALL:
            return
        if self._allowance is None:
            self._allowance = await self._allow()
            self._share = in_flight.share_of(self._allowance.key, self._allowance.together)
        if size > self._allowance.most:
            raise self._allowance.refusal()
        assert self._share
        self._share.grow_to(size)
        if self._allowance.on_disk and self._file is None:
            self._file = await self._on_disk(nameless, size)

    async def _take(self, piece: bytes, in_flight: InFlight) -> None:
        self._size += len(piece)
        await self._expect(self._size, in_flight)
        self._held += piece
        if self._file and len(self._held) >= PIECE:
            await self._write()

    async def _write(self) -> None:
        assert self._file
        held, self._held = self._held, bytearray()
        await self._on_disk(self._file.write, held)

    async def _on_disk(self, work: Callable[[Any], Any], about: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._disk, work, about)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Refused(507, FULL) from error
            raise Refused(503, "The body cannot be kept now. Try again.", retry_after=5) from error


def directory() -> Path:
    """Where bodies and files of requests lie, without names."""
    return Path(settings.FILE_UPLOAD_TEMP_DIR)


def nameless(size: int = 0) -> IO[bytes]:
    """A file that is gone when it is closed, and when this process ends, however that happens.

    Raises OSError (ENOSPC) where `size` bytes more would leave the database no room.
    """
    directory().mkdir(parents=True, exist_ok=True, mode=0o700)
    if shutil.disk_usage(directory()).free - size < LEAST_FREE:
        raise OSError(errno.ENOSPC, "no room for a body")
    return cast("IO[bytes]", tempfile.TemporaryFile(dir=directory()))


def _announced(scope: Message) -> tuple[int, bool]:
    """Bytes as far as they are known, and whether any are to come."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    if length.isdigit():
        return int(length), True
    return 0, b"transfer-encoding" in headers
