"""A client of the older era that costs little: HTTP/1.1 on bare streams, one call at a time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bridge.protocol import NEWEST_LEGACY

VERSION = NEWEST_LEGACY
LEAVES_AFTER = 1.0  # by then the call has been read, on a busy machine too


class Unexpected(Exception):
    """An answer that is not the one to the call; `status` as HTTP has it."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body[:300]!r}")
        self.status, self.body = status, body


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Session:
    """`open` first. Raises `Unexpected`, and `OSError` or `EOFError` where the connection breaks."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._path = parts.path
        self._common = f"host: {parts.netloc}\r\naccept: application/json, text/event-stream\r\n"
        self._common += f"authorization: Bearer {token}\r\n" if token else ""
        self._session = ""
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        about = {
            "protocolVersion": VERSION,
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"},
        }
        answer = await self.post({"id": 0, "method": "initialize", "params": about})
        if answer.status != 200:
            raise Unexpected(answer.status, answer.body)
        self._session = f"mcp-protocol-version: {VERSION}\r\n"
        if found := answer.headers.get("mcp-session-id"):
            self._session += f"mcp-session-id: {found}\r\n"
        await self.post({"method": "notifications/initialized"})

    async def echo(self, text: str) -> None:
        await self.call("echo", text)

    async def call(self, tool: str, text: str) -> None:
        params = {"name": tool, "arguments": {"message": text}}
        answer = await self.post({"id": 1, "method": "tools/call", "params": params})
        if answer.status != 200 or text.encode() not in answer.body:
            raise Unexpected(answer.status, answer.body)

    async def post(self, message: dict[str, Any]) -> Answer:
        await self._begin("POST", json.dumps({"jsonrpc": "2.0", **message}).encode())
        return await self._read()

    async def post_and_leave(self, tool: str, text: str) -> None:
        params = {"name": tool, "arguments": {"message": text}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        await self._begin("POST", json.dumps(message).encode())
        if self._writer:
            await self._writer.drain()
        await asyncio.sleep(LEAVES_AFTER)
        self.close()

    async def stream(self) -> None:
        """Opens the GET stream, and returns when its headers are there."""
        await self._begin("GET", b"")
        await self._reader.readuntil(b"\r\n\r\n")

    async def end(self) -> None:
        await self._begin("DELETE", b"")
        await self._read()
        self.close()

    def close(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None

    async def _begin(self, method: str, body: bytes) -> None:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        about = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n" if body else ""
        head = f"{method} {self._path} HTTP/1.1\r\n{self._common}{self._session}{about}\r\n"
        self._writer.write(head.encode() + body)

    async def _read(self) -> Answer:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await self._body(headers)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(int(head[0].split()[1]), headers, body)

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        parts = []
        while size := int(await self._reader.readline(), 16):
            parts.append((await self._reader.readexactly(size + 2))[:-2])
        await self._reader.readline()
        return b"".join(parts)
