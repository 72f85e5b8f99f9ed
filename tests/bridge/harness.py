"""A bridge as a process, and clients that speak HTTP to it without any SDK."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

SERVERS = Path(__file__).parent
LEGACY = [sys.executable, str(SERVERS / "legacy_server.py")]
MODERN = [sys.executable, str(SERVERS / "modern_server.py")]
MODERN_VERSION = "2026-07-28"
DEADLINE = 60.0
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

Message = dict[str, Any]


async def until(condition: Callable[[], Any]) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.02)


class Bridge:
    """A running bridge. `lines` grows with its stderr."""

    def __init__(self, program: Sequence[str], options: Sequence[str], command: Sequence[str], **popen: Any):
        argv = [*program, "--port", "0", *options, "--", *command]
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, **popen)
        self.lines: list[str] = []
        self._ready = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self._ready.wait(DEADLINE), "the bridge does not start"
        self.url = re.split("listening on ", self.lines[0])[1]
        self.origin = self.url.removesuffix("/mcp")

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            self._ready.set()
        self._ready.set()

    def servers(self) -> list[psutil.Process]:
        """The bridge's children, zombies included."""
        return psutil.Process(self.process.pid).children()

    def logged(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(DEADLINE)


async def read_events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str | None, str]]:
    """(id, data) of each server-sent event; comments are left out."""
    fields: dict[str, str] = {}
    buffer = b""
    async for chunk in response.content.iter_any():
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            name, _, value = line.decode().partition(": ")
            if line and name:
                fields[name.removesuffix(":")] = value
            elif not line and "data" in fields:
                yield fields.get("id"), fields["data"]
            if not line:
                fields = {}


async def messages(response: aiohttp.ClientResponse) -> list[Message]:
    """Every message of a response, whichever of the two forms it has."""
    if response.content_type == "application/json":
        return [json.loads(await response.read())]
    return [json.loads(data) async for _, data in read_events(response) if data]


def request(method: str, request_id: Any = 1, **params: Any) -> Message:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def notification(method: str, **params: Any) -> Message:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def initialize(version: str = "2025-11-25") -> Message:
    client = {"name": "test", "version": "1"}
    return request("initialize", 0, protocolVersion=version, capabilities={}, clientInfo=client)


def tool(name: str, request_id: Any = 1, meta: Message | None = None, **arguments: Any) -> Message:
    extra = {"_meta": meta} if meta else {}
    return request("tools/call", request_id, name=name, arguments=arguments, **extra)


def text_of(message: Message) -> str:
    text: str = message["result"]["content"][0]["text"]
    return text


class LegacyClient:
    """A session, opened by `open`."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url
        self.headers = dict(HEADERS)

    async def open(self, version: str = "2025-11-25") -> LegacyClient:
        async with self.http.post(self.url, json=initialize(version), headers=self.headers) as response:
            assert response.status == 200, await response.text()
            self.headers["Mcp-Session-Id"] = response.headers["Mcp-Session-Id"]
            self.headers["MCP-Protocol-Version"] = version
            await response.read()
        return self

    def post(self, message: Message, **headers: str) -> Any:
        return self.http.post(self.url, json=message, headers={**self.headers, **headers})

    def get(self, **headers: str) -> Any:
        return self.http.get(self.url, headers={**self.headers, **headers})

    async def send(self, message: Message) -> int:
        async with self.post(message) as response:
            await response.read()
            return int(response.status)

    async def call(self, name: str, request_id: Any = 1, **arguments: Any) -> list[Message]:
        async with self.post(tool(name, request_id, **arguments)) as response:
            return await messages(response)

    async def result(self, name: str, request_id: Any = 1, **arguments: Any) -> str:
        return text_of((await self.call(name, request_id, **arguments))[-1])

    async def close(self) -> int:
        async with self.http.delete(self.url, headers=self.headers) as response:
            return int(response.status)


class ModernClient:
    """Sends requests with the envelope and the headers of 2026-07-28."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url

    def post(self, message: Message, **headers: str) -> Any:
        return self.http.post(
            self.url, json=enveloped(message), headers={**modern_headers(message), **headers}
        )

    async def call(self, name: str, request_id: Any = 1, **arguments: Any) -> list[Message]:
        async with self.post(tool(name, request_id, **arguments)) as response:
            return await messages(response)

    async def result(self, name: str, request_id: Any = 1, **arguments: Any) -> str:
        return text_of((await self.call(name, request_id, **arguments))[-1])


def enveloped(message: Message) -> Message:
    params = message.get("params", {})
    meta = {
        **(params.get("_meta") or {}),
        "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {**message, "params": {**params, "_meta": meta}}


def modern_headers(message: Message) -> dict[str, str]:
    named = message.get("params", {}).get("name")
    headers = {**HEADERS, "MCP-Protocol-Version": MODERN_VERSION, "Mcp-Method": message["method"]}
    return {**headers, "Mcp-Name": named} if named else headers


@asynccontextmanager
async def http_client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE)) as http:
        yield http
