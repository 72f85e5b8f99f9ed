"""`bare_relay.py PORT TO`: copies bytes between sockets of the loopback, on the event loop of the gateway."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop


class Side(asyncio.Protocol):
    def __init__(self, other: Side | None = None) -> None:
        self.other = other
        self.waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self.other:
            self.other.joined(self)
        else:
            self._joining = asyncio.create_task(self._join())

    async def _join(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: Side(self), "127.0.0.1", int(sys.argv[2]))

    def joined(self, other: Side) -> None:
        self.other = other
        other.transport.writelines(self.waiting)

    def data_received(self, data: bytes) -> None:
        if self.other:
            self.other.transport.write(data)
        else:
            self.waiting.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other:
            self.other.transport.close()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Side, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
