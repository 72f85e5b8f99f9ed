"""Runs Django as WSGI in steps.

A thread is held while a piece of the answer is made, not while it is read.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import IO, Any

from django.db import close_old_connections

PIECE = 64 * 1024
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[bytes, bytes]]


class Answer:
    """One answer. Call `begin`, then `more` until `over`.

    Each step may run in another thread, but never two at once; all share one context. `abandon` says that the
    rest is not needed. It returns True if the caller has to call `close`; otherwise the running step does
    that.
    """

    def __init__(self, application: Application, environ: dict[str, Any]) -> None:
        self._application, self._environ = application, environ
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._runs = self._unwanted = False
        self._body: Iterable[bytes] = ()
        self._pieces: Iterator[bytes] = iter(())
        self.status, self.headers = 500, Headers()
        self.over = False

    def begin(self) -> bytes:
        """Calls Django, and returns the first piece. `status` and `headers` are set then."""
        return self._step(self._begin)

    def more(self) -> bytes:
        """Returns the next piece. `over` is set with the last one."""
        return self._step(self._more)

    def abandon(self) -> bool:
        """Says that the rest is not needed, and returns whether the caller has to call `close`."""
        with self._lock:
            self._unwanted = True
            return not (self._runs or self.over)

    def close(self) -> None:
        """Closes Django's answer."""
        self._context.run(self._close)

    def _step(self, work: Callable[[], bytes]) -> bytes:
        with self._lock:
            self._runs = True
        try:
            return self._context.run(work)
        finally:
            with self._lock:
                self._runs = False
                unwanted = self._unwanted and not self.over
            if unwanted:
                self.close()

    def _begin(self) -> bytes:
        self._body = self._application(self._environ, self._start)
        self._pieces = iter(self._body)
        return self._more()

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status = int(status.partition(" ")[0])
        self.headers = [
            (name.strip().encode("latin-1").lower(), value.strip().encode("latin-1"))
            for name, value in headers
        ]

    def _more(self) -> bytes:
        """Returns a piece of about PIECE bytes. A part that Django gives as a whole is not cut."""
        parts, size = [], 0
        try:
            while size < PIECE and not self.over:
                part = next(self._pieces, None)
                if part is None:
                    self._close()
                else:
                    parts.append(part)
                    size += len(part)
        except BaseException:
            self._close()
            raise
        finally:
            close_old_connections()  # the next piece may be made in another thread
        return b"".join(parts)

    def _close(self) -> None:
        self.over = True
        getattr(self._body, "close", lambda: None)()


def environ_of(scope: MutableMapping[str, Any], body: IO[bytes], length: int | None) -> dict[str, Any]:
    """Returns the WSGI environment. `length` is the size of the complete body; None means no body.

    Header names with an underscore are dropped: they would look like those with a hyphen, such as
    `X_Forwarded_Proto` like the proxy's header.
    """
    server, port = scope.get("server") or ("localhost", 80)
    client, client_port = scope.get("client") or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode("utf-8", "surrogatepass").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server,
        "SERVER_PORT": str(port or 0),
        "REMOTE_ADDR": client,
        "REMOTE_PORT": str(client_port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw, value in scope["headers"]:
        if b"_" not in raw and raw not in (b"content-length", b"transfer-encoding"):
            _add(environ, raw.decode("latin-1"), value.decode("latin-1"))
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    return environ


def _add(environ: dict[str, Any], name: str, value: str) -> None:
    key = "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.upper().replace('-', '_')}"
    between = "; " if name == "cookie" else ","
    environ[key] = f"{environ[key]}{between}{value}" if key in environ else value
