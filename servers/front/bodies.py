"""Receives complete bodies before Django works on them: small ones in memory, uploads in a nameless file.

`servers.operations.guarded` limits how long they may take.
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
PIECE = 1024 * 1024  # bytes that are written at once
LEAST_FREE = 64 * 1024**2  # bytes of the disk that are left for the database
FULL = "The disk of the platform is full: its operator has to make room in DATA_DIR."


class ClientGone(Exception):
    """The client closed the connection before its request was complete.

    Half an upload must not look complete.
    """


class Body:
    """The body of one request. Call `receive`, then use `file` and `length`, then call `close`.

    `length` is None if the request has no body.
    """

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
        """The size in bytes of the whole body; None if the request has no body."""
        return self._size if self._comes else None

    @property
    def file(self) -> IO[bytes]:
        """The body, to read from its start."""
        return self._file or io.BytesIO(self._held)

    async def receive(self, receive: Receive, in_flight: InFlight) -> None:
        """Receives the body. Raises `Refused` (413, 429, 503, 507) as early as possible, and `ClientGone`."""
        if not self._comes:
            return
        await self._expect(self._announced, in_flight)
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message.get("more_body", False)
            await self._take(message.get("body", b""), in_flight)
        if self._file:
            await self._write()
            self._file.seek(0)

    def close(self) -> None:
        """Closes the file, and ends the counting of its bytes."""
        if self._file:
            self._file.close()
        self.release()

    def release(self) -> None:
        """Ends the counting of its bytes. The file stays until its last reader closes it."""
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
    """Returns the directory of the files that hold bodies and uploads of open requests."""
    return Path(settings.FILE_UPLOAD_TEMP_DIR)


def nameless(size: int = 0) -> IO[bytes]:
    """Opens a file without a name. It is gone when it is closed, or when this process ends in any way.

    Raises OSError (ENOSPC) if `size` bytes more would leave too little space for the database.
    """
    directory().mkdir(parents=True, exist_ok=True, mode=0o700)
    if shutil.disk_usage(directory()).free - size < LEAST_FREE:
        raise OSError(errno.ENOSPC, "no room for a body")
    return cast("IO[bytes]", tempfile.TemporaryFile(dir=directory()))


def _announced(scope: Message) -> tuple[int, bool]:
    """Returns the announced size in bytes (0 if unknown), and whether there is a body."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    if length.isdigit():
        return int(length), True
    return 0, b"transfer-encoding" in headers
