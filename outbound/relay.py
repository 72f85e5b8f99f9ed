"""A SOCKS5 proxy (RFC 1928) on the loopback, for a program that looks names up and connects by itself.

All connections of the program then go through the checks of `outbound`, those of redirects too.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import Self

from outbound import addresses
from outbound.addresses import PrivateAddress, UnknownName

CONNECT_SECONDS = 20.0
CHUNK = 65_536
# RFC 1928, 6
GRANTED, FAILED, NOT_ALLOWED, UNREACHABLE, REFUSED, NO_SUCH_COMMAND = 0, 1, 2, 4, 5, 7
CONNECT, IPV4, NAME, IPV6 = 1, 1, 3, 4


class Relay:
    """The proxy. `private_hosts` (`host[:port]`) may lie on this machine or in private networks.

    `refused` lists the hosts to which a connection was refused.
    """

    def __init__(self, private_hosts: Collection[str]) -> None:
        self.private_hosts = private_hosts
        self.refused: list[str] = []
        self._open: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.relay = self

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 that it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="relay", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for each in list(self._open):
            _end(each)

    def connect(self, host: str, port: int) -> socket.socket:
        """Connects to a host after the check. Raises `UnknownName`, `PrivateAddress`, `OSError`."""
        try:
            found = addresses.look_up(
                host, port, allow_private=addresses.is_listed(host, port, self.private_hosts)
            )
        except PrivateAddress:
            self.refused.append(host)
            raise
        return _first(found, port)

    def hold(self, *used: socket.socket) -> None:
        """Registers open sockets, which are closed when the relay ends."""
        self._open.update(used)

    def let_go(self, *used: socket.socket) -> None:
        """Removes sockets that `hold` registered."""
        self._open.difference_update(used)


def _first(found: list[addresses.Address], port: int) -> socket.socket:
    *others, last = found[: addresses.MOST]
    for address in others:
        with suppress(OSError):
            return socket.create_connection((str(address), port), CONNECT_SECONDS)
    return socket.create_connection((str(last), port), CONNECT_SECONDS)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    relay: Relay


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    timeout = CONNECT_SECONDS
    rbufsize = 0

    def handle(self) -> None:
        with suppress(OSError, ValueError, struct.error):
            self._greet()
            self._serve(*self._wanted())

    def _greet(self) -> None:
        _, methods = struct.unpack("!BB", self._read(2))
        self._read(methods)
        self.connection.sendall(b"\x05\x00")

    def _wanted(self) -> tuple[str, int]:
        _, command, _, kind = struct.unpack("!BBBB", self._read(4))
        host = self._host(kind)
        (port,) = struct.unpack("!H", self._read(2))
        if command != CONNECT:
            self._reply(NO_SUCH_COMMAND)
            raise ValueError
        return host, port

    def _host(self, kind: int) -> str:
        if kind == NAME:
            return self._read(self._read(1)[0]).decode("ascii")
        family, length = {IPV4: (socket.AF_INET, 4), IPV6: (socket.AF_INET6, 16)}.get(kind, (None, 0))
        if family is None:
            raise ValueError
        return socket.inet_ntop(family, self._read(length))

    def _read(self, length: int) -> bytes:
        found = b""
        while len(found) < length:
            more = self.connection.recv(length - len(found))
            if not more:
                raise ValueError
            found += more
        return found

    def _serve(self, host: str, port: int) -> None:
        try:
            there = self.server.relay.connect(host, port)
        except PrivateAddress:
            self._reply(NOT_ALLOWED)
        except UnknownName:
            self._reply(UNREACHABLE)
        except OSError as error:
            self._reply(REFUSED if isinstance(error, ConnectionRefusedError) else FAILED)
        else:
            with there:
                self._reply(GRANTED)
                self._carry(there)

    def _reply(self, code: int) -> None:
        self.connection.sendall(struct.pack("!BBBB4sH", 5, code, 0, IPV4, b"\0" * 4, 0))

    def _carry(self, there: socket.socket) -> None:
        """Copies bytes in both directions until both ends are closed; the program and its server have own
        timeouts.
        """
        self.connection.settimeout(None)
        there.settimeout(None)
        self.server.relay.hold(self.connection, there)
        try:
            back = threading.Thread(target=_pour, args=(there, self.connection), name="relay", daemon=True)
            back.start()
            _pour(self.connection, there)
            back.join()
        finally:
            self.server.relay.let_go(self.connection, there)


def _pour(source: socket.socket, into: socket.socket) -> None:
    try:
        while chunk := source.recv(CHUNK):
            into.sendall(chunk)
    except OSError:
        _end(source)
    with suppress(OSError):
        into.shutdown(socket.SHUT_WR)


def _end(used: socket.socket) -> None:
    with suppress(OSError):
        used.shutdown(socket.SHUT_RDWR)
