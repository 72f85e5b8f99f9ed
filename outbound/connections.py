"""Connections of urllib3 that go only to checked addresses and end with the deadline."""

from __future__ import annotations

import functools
import socket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.util.connection import create_connection

from outbound import addresses, deadline


@functools.cache
def pools(*, allow_private: bool) -> dict[str, Any]:
    """Returns connection pool classes by scheme, as `PoolManager.pool_classes_by_scheme` expects.

    Each new connection looks its name up, checks all addresses and connects to one of them, so that a second
    DNS answer cannot lead elsewhere. Requests also raise `UnknownName` and `PrivateAddress`. `allow_private`
    is that of `addresses.is_allowed`. A connection to a proxy is not checked, since the operator set it. A
    proxy looks names up itself, so the caller checks the URL with `addresses.check_literal`.
    """

    def _new_conn(connection: Any) -> socket.socket:
        made: socket.socket = (
            _direct(connection, allow_private) if connection.proxy is None else _plain(connection)
        )
        deadline.watch(made)
        return made

    return {
        "http": _pool(urllib3.HTTPConnectionPool, _new_conn),
        "https": _pool(urllib3.HTTPSConnectionPool, _new_conn),
    }


def _pool(pool: Any, new_conn: Any) -> Any:
    kind = pool.ConnectionCls

    def request(connection: Any, *args: Any, **kwargs: Any) -> Any:
        deadline.watch(connection.sock)  # a kept connection of an earlier exchange
        return kind.request(connection, *args, **kwargs)

    watched = type(kind.__name__, (kind,), {"_new_conn": new_conn, "request": request})
    return type(pool.__name__, (pool,), {"ConnectionCls": watched})


def _direct(connection: Any, allow_private: bool) -> socket.socket:
    name = connection._dns_host
    found = addresses.look_up(name, connection.port, allow_private=allow_private)[: addresses.MOST]
    for address in found:
        try:
            return _connected(connection, str(address))
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise urllib3.exceptions.ConnectTimeoutError(connection, f"Connection to {name} timed out.")
    raise urllib3.exceptions.NewConnectionError(connection, f"{failure.strerror or failure}") from failure


def _connected(connection: Any, address: str) -> socket.socket:
    return create_connection(
        (address, connection.port),
        connection.timeout,
        source_address=connection.source_address,
        socket_options=connection.socket_options,
    )


def _plain(connection: Any) -> socket.socket:
    made: socket.socket = HTTPConnection._new_conn(connection)
    return made
