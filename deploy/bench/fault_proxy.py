"""A reverse proxy in front of a registry that breaks the requests it is told to break."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Rule = dict[str, Any]

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "proxy-authorization",
}
_WRITTEN_BY_US = _HOP_BY_HOP | {"server", "date", "content-length"}


class FaultProxy:
    """Listens on `host` (127.0.0.1:PORT) from a thread of this process and forwards to `upstream`.

    A rule is a dict; the first that matches a request applies, `times` times (default: always):
      {"method": "PATCH|PUT", "path": "/blobs/uploads/", "times": 3, "action": …} with, by action:
      status          "status": 429, "headers": {"Retry-After": "2"}, "body": "…"
      reset, close    "after": bytes of the request's body to read before the RST or FIN
      hang            "seconds": 60; then a reset
      delay           "seconds": 2, before the request is forwarded
      delay_response  "seconds": 2; the registry answers at once, the client hears of it later
      throttle        "rate": bytes a second that are taken of the request's body; 0, for its gate alone
    With "gate", an Event, a status is not sent before it is set, and of a throttled body little is taken.
    `method` and `path` are regular expressions to be found anywhere in them.
    """

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        self.upstream = (host, int(port))
        self.log: list[tuple[str, str, str | None]] = []  # method, path, action
        self.stopping = threading.Event()
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def set(self, rules: list[Rule]) -> None:
        with self._lock:
            self._rules = [dict(rule) for rule in rules]
            self.log.clear()

    def clear(self) -> None:
        self.set([])

    def close(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def hold(self, gate: threading.Event | None) -> None:
        """Returns once it is set, or the proxy closes."""
        while gate and not gate.wait(0.1) and not self.stopping.is_set():
            continue

    def take_rule(self, method: str, path: str) -> Rule:
        """The rule for a request, counted down; an empty one forwards."""
        with self._lock:
            rule = next((rule for rule in self._rules if _matches(rule, method, path)), {})
            if "times" in rule:
                rule["times"] -= 1
            self.log.append((method, path.split("?")[0], rule.get("action")))
            return dict(rule)


def _matches(rule: Rule, method: str, path: str) -> bool:
    left = rule.get("times", 1) > 0
    return left and bool(re.search(rule.get("method", ""), method) and re.search(rule.get("path", ""), path))


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(_Forwarder):
        def handle_any(self) -> None:
            rule = proxy.take_rule(self.command, self.path)
            seconds = rule.get("seconds", 60 if rule.get("action") == "hang" else 2)
            match rule.get("action"):
                case "status":
                    proxy.hold(rule.get("gate"))
                    self.answer(rule)
                case "hang":
                    proxy.stopping.wait(seconds)
                    self.reset()
                case "reset":
                    self.read_body(rule.get("after", 0))
                    self.reset()
                case "close":
                    self.read_body(rule.get("after", 0))
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                case "delay":
                    proxy.stopping.wait(seconds)
                    self.forward(proxy)
                case "throttle":
                    self.forward(proxy, rate=rule.get("rate", 0), gate=rule.get("gate"))
                case "delay_response":
                    self.forward(proxy, late=seconds)
                case _:
                    self.forward(proxy)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    return Handler


class _Forwarder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the acknowledgement of its head
    raw_requestline: bytes

    def log_message(self, *_: object) -> None:
        return

    def parse_request(self) -> bool:
        # A TLS hello: answer as a Go server does, so that clients fall back to http.
        if self.raw_requestline[:1] == b"\x16":
            self.wfile.write(
                b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n"
            )
            self.close_connection = True
            return False
        return super().parse_request()

    def body(self) -> Iterator[bytes]:
        if self.chunked:
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):  # none: the client is gone
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (piece := self.rfile.read(min(left, 32768))):
            left -= len(piece)
            yield piece

    @property
    def chunked(self) -> bool:
        return "chunked" in (self.headers.get("Transfer-Encoding") or "")

    def read_body(self, size: int) -> None:
        seen = 0
        for piece in self.body() if size else ():
            seen += len(piece)
            if seen >= size:
                return

    def reset(self) -> None:
        """Send RST: linger 0, and every reference to the socket dropped so that it goes out now."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
        for stream in (self.rfile, self.wfile):
            with contextlib.suppress(OSError):
                stream.close()

    def answer(self, rule: Rule) -> None:
        for _ in self.body():
            pass
        body = rule.get("body", "").encode()
        kind = "application/json" if body[:1] == b"{" else "text/plain"
        self.send_response(rule["status"])
        for name, value in {"Content-Type": kind, **rule.get("headers", {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def forward(
        self, proxy: FaultProxy, late: float = 0, rate: float = 0, gate: threading.Event | None = None
    ) -> None:
        def sent(size: int) -> None:
            proxy.hold(gate)
            if rate:
                proxy.stopping.wait(size / rate)

        upstream = http.client.HTTPConnection(*proxy.upstream, timeout=600)
        with contextlib.closing(upstream):
            self._send(upstream, sent)
            response = upstream.getresponse()
            proxy.stopping.wait(late)
            self._relay(response)

    def _send(self, upstream: http.client.HTTPConnection, sent: Callable[[int], object]) -> None:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():  # Host is kept, so that Location stays on the proxy
            if name.lower() not in _HOP_BY_HOP:
                upstream.putheader(name, value)
        if self.chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        upstream.endheaders()
        for piece in self.body():
            upstream.send(b"%x\r\n%s\r\n" % (len(piece), piece) if self.chunked else piece)
            sent(len(piece))
        if self.chunked:
            upstream.send(b"0\r\n\r\n")

    def _relay(self, response: http.client.HTTPResponse) -> None:
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in _WRITTEN_BY_US:
                self.send_header(name, value)
        body = response.read()
        length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
        if length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body)
