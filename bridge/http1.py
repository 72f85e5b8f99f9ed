"""The part of HTTP/1.1 (RFC 9112) that MCP needs: keep-alive, bodies with a length or chunks, events."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from http import HTTPStatus
from typing import Callable, Coroutine, Dict, Iterator, List, Optional, Sequence, Tuple

from bridge import event_stream, jsonrpc, protocol

HEAD_BYTES = 64 << 10
HEAD_SECONDS = 75.0  # to receive the head of a request; also the idle time of a kept connection
BODY_SECONDS = 60.0
# RFC 9110, sections 5.6.2 and 5.5. Another reader may take a control character for the end of a line, and so
# read one message as two.
TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
CONTROLS = frozenset(map(chr, (*range(0x09), *range(0x0A, 0x20), 0x7F)))
TRAILER_BYTES = 16 << 10
SSE_HEADERS = (
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),
)

Headers = Tuple[Tuple[str, str], ...]


class HttpError(Exception):
    """An HTTP status and a JSON-RPC error to answer with; the id is null where no `request_id` is known."""

    def __init__(
        self,
        status: int,
        text: str,
        *,
        code: int = protocol.INVALID_REQUEST,
        headers: Headers = (),
        request_id: Optional[jsonrpc.RequestId] = None,
        fatal: bool = False,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers
        self.body = jsonrpc.error(code, text, request_id)
        self.fatal = fatal  # the next request on this connection cannot be found: close it


class Request:
    """A request as it was read. `path` is the target without its query."""

    def __init__(self, method: str, target: str, version: str, headers: List[Tuple[str, str]]) -> None:
        self.method = method
        self.path = target.partition("?")[0]
        self._values: Dict[str, List[str]] = {}
        for name, value in headers:
            self._values.setdefault(name, []).append(value)
        self.body = b""
        self.chunks_allowed = version == "HTTP/1.1"
        self.keep_alive = self._wants_keep_alive(version)

    def every(self, name: str) -> Sequence[str]:
        """All values of a header, in their order; its name may have any case."""
        return self._values.get(name.lower(), ())

    def header(self, name: str) -> Optional[str]:
        """The first value of a header; None without one."""
        return next(iter(self.every(name)), None)

    def _wants_keep_alive(self, version: str) -> bool:
        connection = (self.header("connection") or "").lower()
        return "close" not in connection if version == "HTTP/1.1" else "keep-alive" in connection


class Connection(asyncio.StreamReaderProtocol):
    """The connection of one client. A client that closes its side of it counts as gone.

    `serve` runs as a task from the start of the connection to its end.
    """

    def __init__(self, serve: Callable[[Connection], Coroutine[None, None, None]]) -> None:
        self.reader = asyncio.StreamReader(limit=HEAD_BYTES)
        super().__init__(self.reader, self._opened)
        self._serve = serve
        self.answering = False  # True from the end of a request to the end of its response
        self._chunked = False
        self._on_gone: Optional[Callable[[], None]] = None
        self.request = Request("", "", "HTTP/1.1", [("connection", "close")])  # until one was read

    def _opened(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.task = asyncio.get_running_loop().create_task(self._serve(self))

    def eof_received(self) -> bool:
        super().eof_received()
        return False

    def connection_lost(self, exc: Optional[Exception]) -> None:
        super().connection_lost(exc)
        if self._on_gone:
            self._on_gone()

    def watch(self, on_gone: Optional[Callable[[], None]]) -> None:
        """Calls `on_gone` when the client leaves, or now if it has left. None ends the watch."""
        self._on_gone = on_gone
        if on_gone and self.lost:
            on_gone()

    @property
    def lost(self) -> bool:
        return self.writer.is_closing()

    def abort(self) -> None:
        self.writer.transport.abort()

    async def respond(self, status: int, body: bytes = b"", headers: Headers = ()) -> None:
        """Sends a whole response; a body is JSON."""
        sized = (*headers, ("Content-Length", str(len(body))))
        if body:
            sized = (("Content-Type", "application/json"), *sized)
        self._head(status, sized)
        self.writer.write(body)
        await self.writer.drain()

    def start_events(self, headers: Headers = ()) -> None:
        """Sends the head of an event stream, with status 200."""
        self._chunked = self.request.chunks_allowed
        framing: Headers = (("Transfer-Encoding", "chunked"),) if self._chunked else ()
        if not self._chunked:
            self.request.keep_alive = False
        self._head(200, (*SSE_HEADERS, *framing, *headers))

    async def send_event(self, data: bytes, event_id: Optional[str] = None) -> None:
        await self._chunk(event_stream.written(data, event_id))

    async def send_comment(self) -> None:
        await self._chunk(event_stream.KEEP_ALIVE)

    async def end_events(self) -> None:
        if self._chunked:
            self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def _chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        await self.writer.drain()

    def _head(self, status: int, headers: Headers) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if not self.request.keep_alive:
            lines.append("Connection: close")
        self.writer.write("\r\n".join([*lines, "\r\n"]).encode("latin-1"))

    async def read_request(self, max_body: int) -> Optional[Request]:
        """The next request, or None where the client has left. `max_body` is in bytes.

        Raises `HttpError`, always fatal, for a malformed, an ambiguous or a too long request.
        """
        try:
            with self._closing_after(HEAD_SECONDS):
                request = parse_head(await self.reader.readuntil(b"\r\n\r\n"))
            self.request = request
            with self._closing_after(BODY_SECONDS):
                request.body = await self._read_body(request, max_body)
        except asyncio.LimitOverrunError:
            raise _fatal(431, "Headers too large") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return request

    @contextmanager
    def _closing_after(self, seconds: float) -> Iterator[None]:
        timer = asyncio.get_running_loop().call_later(seconds, self.writer.close)
        try:
            yield
        finally:
            timer.cancel()

    async def _read_body(self, request: Request, max_body: int) -> bytes:
        chunked, length = body_framing(request)
        if length > max_body:
            raise _fatal(413, f"The body is larger than {max_body} bytes")
        if (chunked or length) and (request.header("expect") or "").lower() == "100-continue":
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await self._read_chunks(max_body) if chunked else await self.reader.readexactly(length)

    async def _read_chunks(self, max_body: int) -> bytes:
        chunks: List[bytes] = []
        total = 0
        while True:
            size = _chunk_size(await self.reader.readuntil(b"\r\n"))
            total += size
            if total > max_body:
                raise _fatal(413, f"The body is larger than {max_body} bytes")
            if not size:
                break
            chunks.append(await self.reader.readexactly(size))
            if await self.reader.readexactly(2) != b"\r\n":
                raise _fatal(400, "Malformed chunk")
        await self._skip_trailers()
        return b"".join(chunks)

    async def _skip_trailers(self) -> None:
        size = 0
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            size += len(line)
            if size > TRAILER_BYTES:
                raise _fatal(431, "Trailers too large")
            _header(line[:-2].decode("latin-1"))


def _fatal(status: int, text: str) -> HttpError:
    return HttpError(status, text, fatal=True)


def parse_head(head: bytes) -> Request:
    """Parses a head with the empty line at its end (RFC 9112, section 3). Raises `HttpError`."""
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    try:
        method, target, version = first.split(" ")
    except ValueError:
        raise _fatal(400, "Malformed request line") from None
    if not CONTROLS.isdisjoint(first) or "\t" in first:
        raise _fatal(400, "Malformed request line")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise _fatal(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here")
    request = Request(method, target, version, [_header(line) for line in lines])
    if len(request.every("host")) > 1:
        raise _fatal(400, "A request has one Host header")
    return request


def _header(line: str) -> Tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or not TOKEN.issuperset(name) or not CONTROLS.isdisjoint(value):
        raise _fatal(400, "Malformed header")
    return name.lower(), value.strip(" \t")


def body_framing(request: Request) -> Tuple[bool, int]:
    """Whether the body is chunked, and its Content-Length, 0 without one (RFC 9112, section 6.3).

    Raises `HttpError` where another reader could find another end of the body.
    """
    encoding, length = request.header("transfer-encoding"), request.header("content-length")
    repeated = any(len(request.every(name)) > 1 for name in ("transfer-encoding", "content-length"))
    if repeated or (encoding and length):
        raise _fatal(400, "Ambiguous body framing")
    if encoding and not request.chunks_allowed:
        raise _fatal(400, "HTTP/1.0 has no transfer encodings")
    if encoding:
        if encoding.lower() != "chunked":
            raise _fatal(501, "Only chunked transfer encoding is known")
        return True, 0
    if length is None:
        return False, 0
    if not (length.isascii() and length.isdigit()) or len(length) > 18:
        raise _fatal(400, "Malformed Content-Length")
    return False, int(length)


def _chunk_size(line: bytes) -> int:
    digits, _, extension = line[:-2].partition(b";")
    digits = digits.rstrip(b" \t")
    hexadecimal = digits.isalnum() and not digits.strip(b"0123456789abcdefABCDEF")
    if not hexadecimal or len(digits) > 8 or not CONTROLS.isdisjoint(extension.decode("latin-1")):
        raise _fatal(400, "Malformed chunk size")
    return int(digits, 16)
