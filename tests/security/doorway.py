"""The door as `up` serves it, in a thread, and attackers' sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import requests
from django.test import override_settings

from mcphost.asgi import make_application
from servers.operations import serving
from servers.operations.connection_table import Limits
from servers.operations.listening import listen
from tests.eventually import eventually

FOR_EVER = 3600.0
PATIENT = Limits(10_000, head=FOR_EVER, body=FOR_EVER, unread=FOR_EVER, idle=FOR_EVER)


class Peer:
    """One connection to the door."""

    def __init__(self, port: int, source: str = "127.0.0.1", buffer: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(60)
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))

    def send(self, data: bytes) -> Peer:
        self.socket.sendall(data)
        return self

    def rest(self) -> bytes:
        """What the door still says until it ends the connection."""
        said = bytearray()
        with suppress(ConnectionResetError):
            while some := self.socket.recv(65_536):
                said += some
        return bytes(said)

    def answer(self) -> tuple[int, bytes]:
        """Status and everything after the first line, of an answer after which the door hangs up."""
        first, _, more = self.rest().partition(b"\r\n")
        return int(first.split(b" ")[1]) if first else 0, more

    def close(self) -> None:
        self.socket.close()


@dataclass
class Door:
    port: int
    peers: list[Peer] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def peer(self, data: bytes = b"", **how: Any) -> Peer:
        made = Peer(self.port, **how)
        self.peers.append(made)
        return made.send(data)

    def get(self, path: str, **how: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=60, **how)

    def post(self, path: str, **how: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=60, **how)


def head(path: str, *more: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: localhost", *more, "", ""]).encode()


@contextmanager
def opened(limits: Limits = PATIENT, application: Any = None, **changed: Any) -> Iterator[Door]:
    """`changed`: limits that differ. What peers have open at the end is closed."""
    with override_settings(BIND_ADDRESS="127.0.0.1", BIND_PORT=0):
        listener = listen()
    server = serving.server_of(application or make_application(), 0.2, replace(limits, **changed))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    door = Door(listener.getsockname()[1])
    thread.start()
    eventually(lambda: server.started, what="the door is open")
    try:
        yield door
    finally:
        for peer in door.peers:
            peer.close()
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def door(transactional_db: None) -> Iterator[Door]:
    with opened() as made:
        yield made
