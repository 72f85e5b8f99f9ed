"""A gateway on a real socket, and hosted servers that say what bytes they like."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from django.contrib.auth.models import User

from tests.gateway.conftest import Running, bearer, call, gateway, host, in_database, options, owner, token
from tests.gateway.conftest import transactional_db as transactional_db

__all__ = ["Running", "bearer", "call", "gateway", "hosted", "options", "owner", "saying", "transactional_db"]

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def saying(*parts: bytes, for_ever: bytes = b"", once: bool = True) -> AsyncIterator[str]:
    """A server that answers each request with these bytes, and `for_ever` behind them; yields its address.
    `once`: then it closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(_length(head))
                writer.writelines(parts)
                while for_ever:
                    writer.write(for_ever)
                    await writer.drain()
                await writer.drain()
                if once:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    finally:
        server.close()


def _length(head: bytes) -> int:
    lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    return next((int(value) for name, _, value in lines if name == b"content-length"), 0)


async def hosted(owner: User, endpoint: str, slug: str = "evil", **fields: Any) -> dict[str, str]:
    """The headers with which a caller calls it."""
    return bearer(await in_database(lambda: token(owner, host(owner, slug, endpoint, **fields))))


def head(*lines: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def answer(lines: Iterable[bytes], body: bytes = b"{}", status: bytes = b"200 OK") -> bytes:
    return head(*lines, b"content-length: %d" % len(body), status=status) + body
