"""Tags and pushes images with a Docker Engine; a push can be watched and stopped.

Errors of docker and requests become `RegistryError`.
"""

from __future__ import annotations

import contextlib
import math
import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import urllib3
from docker import APIClient
from docker.errors import APIError, DockerException

from registry.engine_errors import from_engine
from registry.errors import RegistryError, unreachable
from registry.events import Line
from registry.progress import PushProgress
from registry.reasons import Reason
from registry.reference import Reference
from registry.retry import TICK

CALL_TIMEOUT = 30
_BACKLOG = 256  # messages in the queue; the engine waits while it is full
_DIGEST_LINE = re.compile(r": digest: (sha256:[0-9a-f]{64}) size: \d+$")
_RETRYING = re.compile(r"Retrying in (\d+) seconds?")
_FAULTS = (requests.RequestException, urllib3.exceptions.HTTPError, DockerException, OSError)

Message = Mapping[str, Any]


class Engine:
    """A connection to one engine at `url` (`unix://…`, `tcp://…`).

    It is not thread-safe: use one per push.
    """

    def __init__(self, url: str) -> None:
        try:
            self._api = APIClient(base_url=url, timeout=CALL_TIMEOUT)
        except _FAULTS as fault:
            raise _engine_gone(fault) from fault

    def close(self) -> None:
        """Closes the connection."""
        self._api.close()

    def tag(self, image: str, target: Reference) -> None:
        """Tags `image` as `target`. Raises `RegistryError`, of kind `tag` if the engine refuses."""
        try:
            self._api.tag(image, target.endpoint, tag=target.tag, force=True)
        except APIError as fault:
            raise RegistryError(_explanation(fault), kind="tag", reason=Reason.NOT_FOUND) from fault
        except _FAULTS as fault:
            raise _engine_gone(fault) from fault

    @contextlib.contextmanager
    def push(self, target: Reference, auth: dict[str, str], silence: float) -> Iterator[PushStream]:
        """Starts a push and yields its messages; leaving the context stops the push.

        `silence` are the seconds for which the caller waits for a message; the connection's own timeout is
        longer.
        """
        self._api.timeout = math.ceil(silence) + CALL_TIMEOUT
        stream = PushStream(self._api, target, auth)
        try:
            yield stream
        finally:
            stream.stop()


class PushStream:
    """The messages of one push. A thread reads them, so that a silent engine does not block the caller."""

    def __init__(self, api: APIClient, target: Reference, auth: dict[str, str]) -> None:
        self._api = api
        self._messages: queue.Queue[Message | BaseException | None] = queue.Queue(_BACKLOG)
        self._stopped = threading.Event()
        self._response: requests.Response | None = None
        self._api.hooks["response"] = [self._keep]
        self._thread = threading.Thread(
            target=self._read, args=(target, auth), name=f"push {target}", daemon=True
        )
        self._thread.start()

    def __iter__(self) -> Iterator[Message | None]:
        """Yields messages, and None after each `TICK` without one.

        Raises `RegistryError` if the engine is gone.
        """
        while True:
            try:
                item = self._messages.get(timeout=TICK)
            except queue.Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise sort_fault(item) from item
            yield item

    def stop(self) -> None:
        """Closes the connection; the engine then stops the push."""
        self._stopped.set()
        response = self._response
        if response is not None and self._thread.is_alive():
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # another thread may be closing it
                response.raw.shutdown()
        self._thread.join(timeout=1.0)

    def _keep(self, response: requests.Response, *args: object, **kwargs: object) -> None:
        self._response = response

    def _read(self, target: Reference, auth: dict[str, str]) -> None:
        try:
            for message in self._api.push(
                target.endpoint, tag=target.tag, stream=True, decode=True, auth_config=auth
            ):
                self._put(message)
                if self._stopped.is_set():
                    break
            self._put(None)
        except Exception as fault:  # noqa: BLE001 raised again where the messages are read
            self._put(fault)
        finally:
            if self._response is not None:
                self._response.close()

    def _put(self, item: Message | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                self._messages.put(item, timeout=TICK)
            except queue.Full:
                continue
            return


class PushLog:
    """Interprets the messages: the digest or the error, progress over all layers, the engine's own retries.

    The classic image store sends `aux`, the containerd store only a status line; both are understood.
    """

    def __init__(self, line: Line, sent: PushProgress) -> None:
        self.digest = ""
        self._line = line
        self._sent = sent
        self._layers: dict[str, tuple[str, int, int]] = {}
        self._waits: dict[str, int] = {}
        self._changed_at = time.monotonic()

    @property
    def unchanged_for(self) -> float:
        """Seconds since the last message that showed progress."""
        return time.monotonic() - self._changed_at

    def take(self, message: Message) -> None:
        """Reads one message. Raises `RegistryError` if it is the engine's error."""
        if "errorDetail" in message or "error" in message:
            raise from_engine(_error_text(message))
        aux = message.get("aux")
        if isinstance(aux, dict) and aux.get("Digest"):
            self.digest = str(aux["Digest"])
        status, layer = str(message.get("status", "")), str(message.get("id", ""))
        if found := _DIGEST_LINE.search(status):
            self.digest = found[1]
        if layer:
            self._take_layer(layer, status, message.get("progressDetail") or {})

    def _take_layer(self, layer: str, status: str, detail: Mapping[str, Any]) -> None:
        if waiting := _RETRYING.fullmatch(status):
            self._tell_wait(layer, status, int(waiting[1]))
            status = waiting.re.pattern
        _, current, total = self._layers.get(layer, ("", 0, 0))
        total = int(detail.get("total", total))
        # The engine counts tar headers in `current`, but not in `total`.
        now = (status, min(int(detail.get("current", current)), total), total)
        if now == self._layers.get(layer):
            return
        self._layers[layer] = now
        self._changed_at = time.monotonic()
        self._sent.update(layer, *now)

    def _tell_wait(self, layer: str, status: str, seconds: int) -> None:
        """Logs one line per countdown, not one per second."""
        if seconds >= self._waits.get(layer, 0):
            self._line(f"{layer}: {status}")
        self._waits[layer] = seconds
        self._changed_at = time.monotonic()


def _error_text(message: Message) -> str:
    detail = message.get("errorDetail")
    text = detail.get("message") if isinstance(detail, dict) else ""
    return str(text or message.get("error") or "The engine gave no reason.")


def sort_fault(fault: BaseException) -> RegistryError:
    """Sorts an exception of the engine or its transport as its error texts are sorted."""
    if isinstance(fault, APIError):
        return from_engine(_explanation(fault))
    if isinstance(fault, _FAULTS):
        return _engine_gone(fault)
    return RegistryError(f"The Docker Engine's answer could not be read: {fault}")


def _engine_gone(fault: BaseException) -> RegistryError:
    told = unreachable("The Docker Engine does not answer", fault)
    told.reason = Reason.ENGINE_UNAVAILABLE
    return told


def _explanation(fault: APIError) -> str:
    return str(fault.explanation or fault)
