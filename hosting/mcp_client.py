"""A small MCP client for one endpoint over Streamable HTTP. It does what the handshake and the lists need.

Source: the MCP specification, section "Streamable HTTP" of revision 2025-11-25 (legacy) and 2026-07-28
(modern).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from bridge import protocol
from bridge.event_stream import Splitter, data_of
from hosting import host_names
from hosting.deadline import Deadline
from hosting.errors import RuntimeFault
from registry.reasons import Reason

Json = dict[str, Any]

CLIENT = {"name": "mcphost", "version": "1"}
CONNECT_SECONDS = 3.0
MAX_MESSAGE_BYTES = 8 << 20
_CHUNK = 65_536
_WORDS = 4096  # bytes of a refusal in which to look for the word "host"
_OF_HOST = re.compile(rb"\bhosts?\b", re.IGNORECASE)


class NotServing(RuntimeFault):
    """The endpoint does not answer MCP, at least not now."""

    reason = Reason.UNHEALTHY
    permanent = False


class HostRefused(NotServing):
    """The server refuses the Host header that it was sent."""


class RpcError(Exception):
    """The server answered with a JSON-RPC error (JSON-RPC 2.0, section 5.1)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


Auth = Callable[[requests.Session], None]  # adds the credentials that calls of an endpoint need


def no_auth(_: requests.Session) -> None:
    """For a server beside the platform, which needs no credentials."""


class McpEndpoint:
    """A client of the endpoint `url`. Not thread-safe.

    Each request takes at most `timeout` seconds, and ends with the deadline. `auth` adds credentials to the
    HTTP client. `host` is the Host header, by default that of `host_names.usual`. Requests are modern after
    `use`, and legacy ones after `initialize`.
    """

    def __init__(
        self, url: str, *, deadline: Deadline, timeout: float, auth: Auth = no_auth, host: str = ""
    ) -> None:
        self.last_size = 0
        self._url = url
        self._host = host or host_names.usual(url)
        self._deadline = deadline
        self._timeout = timeout
        self._http = requests.Session()
        self._http.trust_env = False  # no proxy: the server runs beside the platform
        auth(self._http)
        self._modern = ""
        self._legacy_headers: dict[str, str] = {}
        self._next_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def use(self, modern_version: str) -> None:
        """Makes the next requests modern ones, of this protocol version."""
        self._modern = modern_version

    def initialize(self) -> Json:
        """Opens a legacy session (2025-11-25, "Lifecycle") and returns the result of `initialize`.

        Raises `NotServing`, `RpcError`.
        """
        self._modern, self._legacy_headers = "", {}
        offer = {"protocolVersion": protocol.NEWEST_LEGACY, "capabilities": {}, "clientInfo": CLIENT}
        answer = self.request("initialize", offer)
        spoken = str(answer.get("protocolVersion", protocol.NEWEST_LEGACY))
        self._legacy_headers[protocol.VERSION_HEADER] = spoken
        try:
            with self._post({"jsonrpc": "2.0", "method": "notifications/initialized"}) as response:
                _require_success(response, self._url)
        except BaseException:
            self.close_session()
            raise
        return answer

    def close_session(self) -> None:
        """Ends the session with DELETE (2025-11-25, "Session Management"). A server may refuse that."""
        if protocol.SESSION_HEADER not in self._legacy_headers:
            return
        with suppress(requests.RequestException):
            headers = {"Host": self._host, **self._legacy_headers}
            self._http.delete(self._url, headers=headers, timeout=CONNECT_SECONDS).close()
        self._legacy_headers = {}

    def request(self, method: str, params: Json, max_bytes: int = MAX_MESSAGE_BYTES) -> Json:
        """Sends a request and returns the `result` of its response, which may come as JSON or as an event.

        Afterwards `last_size` is the size of the response in bytes. Raises `NotServing`, also for a response
        of more than `max_bytes`; `RpcError`; what `Deadline.check` raises.
        """
        self._next_id += 1
        message = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": self._framed(params)}
        with self._post(message) as response:
            if session := response.headers.get(protocol.SESSION_HEADER):
                self._legacy_headers[protocol.SESSION_HEADER] = session
            return _result(self._answer(response, max_bytes))

    def _framed(self, params: Json) -> Json:
        if not self._modern:
            return params
        meta = {
            protocol.VERSION_KEY: self._modern,
            protocol.CLIENT_KEY: CLIENT,
            protocol.CAPABILITIES_KEY: {},
        }
        return {**params, "_meta": meta}

    def _headers(self, method: str) -> dict[str, str]:
        era = (
            {protocol.VERSION_HEADER: self._modern, protocol.METHOD_HEADER: method}
            if self._modern
            else self._legacy_headers
        )
        accepted = {"Accept": "application/json, text/event-stream", "Accept-Encoding": "identity"}
        return {"Host": self._host, **accepted, **era}

    def _post(self, message: Json) -> requests.Response:
        self._deadline.check()
        seconds = min(self._timeout, max(self._deadline.remaining(), 0.1))
        try:
            return self._http.post(
                self._url,
                json=message,
                headers=self._headers(message["method"]),
                timeout=(min(CONNECT_SECONDS, seconds), seconds),
                stream=True,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _unreachable(error, seconds) from error

    def _answer(self, response: requests.Response, max_bytes: int) -> Json:
        """The JSON-RPC response in an HTTP response. A JSON-RPC error may come with any HTTP status."""
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        chunks = self._chunks(response, max_bytes)
        if kind == "text/event-stream" and response.ok:
            found = _first_answer(_events(chunks), self._next_id)
        else:
            body = b"".join(chunks)
            if _refuses_host(response.status_code, body):
                raise HostRefused(
                    f"It answered HTTP {response.status_code} to the Host {self._host}.",
                    hint=f"It refuses the Host header: let it allow {self._host}.",
                )
            found = _answer_among(_json(body), self._next_id) if kind == "application/json" else None
            if found is None:
                _require_success(response, self._url)
        if found is None:
            raise NotServing(
                f"What answers there is not MCP: HTTP {response.status_code}, content type {kind or 'none'}.",
                hint="Check the server's port and path.",
            )
        return found

    def _chunks(self, response: requests.Response, max_bytes: int) -> Iterator[bytes]:
        """The body in pieces, as they arrive: an event stream may stay open long after the answer."""
        end, self.last_size = time.monotonic() + self._timeout, 0
        try:
            while chunk := response.raw.read1(_CHUNK):
                self._deadline.check()
                self.last_size += len(chunk)
                if self.last_size > max_bytes:
                    raise NotServing(f"Its answer is longer than {max_bytes >> 10} KiB.", permanent=True)
                yield chunk
                if time.monotonic() > end:
                    raise NotServing(f"It did not answer within {self._timeout:g} s.")
        except (OSError, HTTPError) as error:
            raise _unreachable(error, self._timeout) from error


def _first_answer(messages: Iterator[Json], request_id: int) -> Json | None:
    """The response to our request among other messages. Some servers turn its id into a string."""
    ids = (request_id, str(request_id), None)
    return next((each for each in messages if _is_answer(each) and each.get("id") in ids), None)


def _answer_among(value: Any, request_id: int) -> Json | None:
    """The response in a JSON body, whatever its id. Some servers put it into an array."""
    if isinstance(value, list):
        return _first_answer((each for each in value if isinstance(each, dict)), request_id)
    return value if isinstance(value, dict) and _is_answer(value) else None


def _refuses_host(status: int, body: bytes) -> bool:
    """Status 421 means it (RFC 9110, section 15.5.20). With 400 and 403 the text has to name the host."""
    return status == 421 or (status in (400, 403) and bool(_OF_HOST.search(body[:_WORDS])))


def _events(chunks: Iterator[bytes]) -> Iterator[Json]:
    """The messages of an event stream."""
    splitter = Splitter()
    for event in chain.from_iterable(map(splitter.feed, chunks)):
        data = data_of(event)
        message = None if data is None else _json_object(data)
        if message is not None:
            yield message


def _json_object(data: bytes) -> Json | None:
    value = _json(data)
    return value if isinstance(value, dict) else None


def _json(data: bytes) -> Any:
    """The JSON value, or None. Bytes that are not UTF-8 become U+FFFD; a byte order mark is skipped."""
    try:
        return _storable(
            json.loads(data.decode("utf-8-sig", "replace"), parse_constant=_no_number, strict=False)
        )
    except (ValueError, RecursionError):
        return None


def _storable(value: Any) -> Any:
    """The value without NUL and unpaired surrogates, which JSON can escape and databases refuse."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode(errors="replace").decode()
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(each) for name, each in value.items()}
    return value


def _no_number(name: str) -> None:
    """NaN and Infinity, which some servers write, become null."""


def _is_answer(message: Json) -> bool:
    return message.get("jsonrpc") == "2.0" and (
        isinstance(message.get("result"), dict) or isinstance(message.get("error"), dict)
    )


def _result(answer: Json) -> Json:
    error = answer.get("error")
    if error is None:
        result: Json = answer["result"]
        return result
    code = error.get("code")
    raise RpcError(code if isinstance(code, int) else 0, str(error.get("message", "no message")))


def _require_success(response: requests.Response, url: str) -> None:
    """Raises `NotServing` for a status of 300 or more, with advice that fits the status."""
    status, path = response.status_code, urlsplit(url).path
    if status < 300:
        return
    hints = {
        401: "It asks for credentials of its own: turn that off, the gateway guards it.",
        403: "It refuses the platform: let it accept requests without credentials.",
        404: "Set the server's path to where it serves MCP.",
        405: "Set the server's path to where it serves MCP by POST.",
    }
    where = f" to {response.headers['Location']}" if status < 400 and "Location" in response.headers else ""
    hint = "Set the server's path to the new place." if where else hints.get(status, "See what it wrote.")
    raise NotServing(f"It answered HTTP {status}{where} at {path}.", hint=hint)


def _unreachable(error: Exception, seconds: float) -> NotServing:
    text = str(error)
    if "refused" in text:
        return NotServing(
            "Connection refused: nothing listens on its port.",
            hint="Let it listen on the port that PORT gives it, in a container on 0.0.0.0.",
        )
    if isinstance(error, requests.Timeout | TimeoutError) or "timed out" in text:
        return NotServing(f"It accepted the connection and did not answer within {seconds:g} s.")
    return NotServing(
        "The connection was closed without an answer.",
        hint="Let it listen on the port that PORT gives it, in a container on 0.0.0.0.",
    )
