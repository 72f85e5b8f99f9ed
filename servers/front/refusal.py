"""Answers of requests that are refused before Django gets them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

import orjson

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
FOR_PROGRAMS = ("/api/", "/hooks/", "/v0.1/")


class Refused(Exception):
    """The request is refused. The connection is closed afterwards, because a body may still be coming."""

    def __init__(self, status: int, detail: str, *, retry_after: int = 0) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after = status, detail, retry_after

    def parts(self, path: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Returns headers and body: a problem document (RFC 9457) for programs, a sentence for people."""
        if path.startswith(FOR_PROGRAMS):
            kind, body = "application/problem+json", orjson.dumps(self._problem(path))
        else:
            kind, body = "text/plain; charset=utf-8", f"{self.detail}\n".encode()
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"connection", b"close"),
        ]
        if self.retry_after:
            headers.append((b"retry-after", str(self.retry_after).encode()))
        return headers, body

    def _problem(self, path: str) -> dict[str, Any]:
        """Returns the problem in the form of `api.problems`, which would need Django and a thread."""
        about = {"type": "about:blank", "title": HTTPStatus(self.status).phrase, "status": self.status}
        return {**about, "detail": self.detail, "instance": path[:2000]}

    async def answer(self, path: str, send: Send) -> None:
        headers, body = self.parts(path)
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def as_bytes(self, path: str) -> bytes:
        """Returns the whole answer, for a connection that has no request yet."""
        headers, body = self.parts(path)
        first = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n".encode()
        return first + b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n" + body
