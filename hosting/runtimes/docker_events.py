"""Listens to an engine: to its events, and to the logs of its containers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from docker import APIClient
from urllib3.response import BaseHTTPResponse

from hosting.runtimes.docker_spec import LABEL
from hosting.runtimes.followed import CONNECT_SECONDS, QUIET_SECONDS, Stream

# After each of these an inspection may say something else than before.
ACTIONS = ("start", "die", "oom", "pause", "unpause", "destroy")


@dataclass(eq=False)
class Events:
    """Tells when the engine says that one of some containers of `instance` has changed. Thread-safe.

    `engine` returns the client; it may connect first. When the events begin, also after a break, a change is
    told too, since some may have been missed. One connection and one thread serve for all containers, while
    there are any.
    """

    engine: Callable[[], APIClient]
    instance: str
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _containers: frozenset[str] = field(default=frozenset(), init=False)
    _changed: Callable[[], None] = field(default=lambda: None, init=False)
    _stream: Stream | None = field(default=None, init=False)
    _pending: bytes = field(default=b"", init=False)

    def watch(self, containers: Collection[str], changed: Callable[[], None]) -> None:
        """Listens for these containers (their ids) from now on, and no others. It returns at once."""
        with self._lock:
            self._containers, self._changed = frozenset(containers), changed
            if self._stream and not containers:
                self._stream.end()
                self._stream = None
            elif containers and not self._stream:
                stream = Stream("docker-events", self._ask, self._heard)
                self._stream = stream if stream.start() else None

    def _ask(self) -> BaseHTTPResponse:
        filters = {"type": ["container"], "event": [*ACTIONS], "label": [f"{LABEL}instance={self.instance}"]}
        return opened(self.engine(), "/events", {"filters": json.dumps(filters)})

    def _heard(self, piece: bytes) -> None:
        if not piece:
            self._pending = b""
            self._changed()
            return
        *lines, self._pending = (self._pending + piece).split(b"\n")
        if any(json.loads(line)["Actor"]["ID"] in self._containers for line in lines if line):
            self._changed()


def log(api: APIClient, container: str) -> BaseHTTPResponse:
    """The last line of a container's log, and then each that it writes ("Get container logs")."""
    asked = {"follow": "1", "tail": "1", "stdout": "1", "stderr": "1"}
    return opened(api, f"/containers/{container}/logs", asked)


def opened(api: APIClient, path: str, params: Mapping[str, str]) -> BaseHTTPResponse:
    """An answer that does not end. Raises `requests.RequestException`, also where the engine refuses."""
    url = f"{api.base_url}/v{api.api_version}{path}"
    timeout, headers = (CONNECT_SECONDS, QUIET_SECONDS), {"Connection": "close"}
    response = api.get(url, params=params, stream=True, timeout=timeout, headers=headers)
    response.raise_for_status()
    found: BaseHTTPResponse = response.raw
    return found
