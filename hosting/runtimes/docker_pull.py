"""Pulls an image through the engine, with credentials and within a deadline."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import requests
from docker import APIClient
from docker.auth import encode_header
from docker.utils import parse_repository_tag

from hosting.deadline import Deadline
from hosting.process_group import LineSink
from hosting.runtimes.base import ImagePull
from hosting.runtimes.docker_faults import of_a_pull, translated
from registry.credentials import Credential
from registry.reference import Reference

AuthConfig = Callable[[Reference], Mapping[str, str] | None]  # AuthConfig of the Engine API; None: anonymous

_TICK = 0.2
_CONNECT_SECONDS = 5.0
_TOLD = ("Pulling from", "Digest:", "Status:")


def no_credentials(ref: Reference) -> None:
    return None


def login_of(pull: ImagePull) -> AuthConfig:
    """The login that the team has given, for the registry of its image."""
    if not pull.username:
        return no_credentials
    given = Credential(pull.username, pull.password)
    return lambda ref: given.engine_auth(ref.host)


def pull(
    api: APIClient, image: str, *, platform: str, auth: AuthConfig, deadline: Deadline, log: LineSink
) -> None:
    """Pulls `image` (Engine API, "Create an image") and logs what the engine says.

    `platform` "" lets the engine choose. Raises `RuntimeFault`, `Cancelled`, `TimedOut`. When this function
    ends early, the connection is closed, and the engine gives the pull up.
    """
    log(f"Pulling {image}")
    repository, tag = parse_repository_tag(image)
    credentials = auth(Reference.parse(image))
    params = {"fromImage": repository, "tag": tag or "latest", **({"platform": platform} if platform else {})}
    headers: dict[str, str | bytes] = {}
    if credentials:
        headers["X-Registry-Auth"] = encode_header(dict(credentials))
    stream = _Stream(api, params, headers, deadline)
    try:
        for line in stream.lines(deadline):
            _take(json.loads(line), log)
    finally:
        stream.close()


def _take(message: Mapping[str, Any], log: LineSink) -> None:
    """Reads one message. The engine sends errors of a pull as messages, after HTTP 200."""
    if error := message.get("error"):
        raise of_a_pull(str(error))
    status = str(message.get("status", ""))
    if any(each in status for each in _TOLD):
        log(status)


class _Stream:
    """The answer of the engine, read in a thread: the engine sends nothing while a registry hangs."""

    def __init__(
        self,
        api: APIClient,
        params: Mapping[str, str],
        headers: Mapping[str, str | bytes],
        deadline: Deadline,
    ) -> None:
        self._queue: queue.SimpleQueue[bytes | Exception | None] = queue.SimpleQueue()
        self._response: requests.Response | None = None
        request = (api, params, headers, deadline.remaining())
        self._thread = threading.Thread(target=self._read, args=request, name="pull", daemon=True)
        self._thread.start()

    def lines(self, deadline: Deadline) -> Iterator[bytes]:
        while True:
            deadline.check()
            with suppress(queue.Empty):
                item = self._queue.get(timeout=_TICK)
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise item
                yield item

    def close(self) -> None:
        response = self._response
        if response is not None and self._thread.is_alive():
            with suppress(OSError, ValueError, RuntimeError):  # the thread may end at this moment
                response.raw.shutdown()
        self._thread.join(_TICK)

    def _read(
        self, api: APIClient, params: Mapping[str, str], headers: Mapping[str, str | bytes], seconds: float
    ) -> None:
        try:
            with translated():
                self._transfer(api, params, headers, seconds)
            self._queue.put(None)
        except Exception as fault:  # noqa: BLE001 (raised again where the lines are read)
            self._queue.put(fault)

    def _transfer(
        self, api: APIClient, params: Mapping[str, str], headers: Mapping[str, str | bytes], seconds: float
    ) -> None:
        timeout = (_CONNECT_SECONDS, max(seconds, 1.0))
        url = f"{api.base_url}/v{api.api_version}/images/create"
        with api.post(url, params=params, headers=headers, stream=True, timeout=timeout) as response:
            self._response = response
            if not response.ok:
                raise of_a_pull(_message(response), server_error=response.status_code >= 500)
            for line in response.iter_lines():
                if line:
                    self._queue.put(line)


def _message(response: requests.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError):
        return f"HTTP {response.status_code}"
