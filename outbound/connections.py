"""Connections of urllib3 that lead where was looked, and end with the deadline."""

from __future__ import annotations

import functools
import socket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.util.connection import create_connection

from outbound import addresses, deadline


@functools.cache
def pools(*, inner: bool) -> dict[str, Any]:
    """Classes of pools by scheme, as `PoolManager.pool_classes_by_scheme` takes them.

    A name is looked up for each new connection, which goes to what was looked at: it cannot lead elsewhere
    a moment later. Their requests raise `UnknownName` and `InnerAddress` besides what urllib3 raises. `inner`
    is as for `addresses.is_allowed`. The way to a proxy, which the operator named, is free; what a proxy is
    asked for is the caller's to look at (`addresses.check_plain`), for a proxy looks names up itself.
    """

    def _new_conn(connection: Any) -> socket.socket:
        made: socket.socket = _direct(connection, inner) if connection.proxy is None else _plain(connection)
        deadline.watch(made)
        return made

    return {
        "http": _pool(urllib3.HTTPConnectionPool, _new_conn),
        "https": _pool(urllib3.HTTPSConnectionPool, _new_conn),
    }


def _pool(pool: Any, new_conn: Any) -> Any:
    kind = pool.ConnectionCls

    def request(connection: Any, *args: Any, **kwargs: Any) -> Any:
        deadline.watch(connection.sock)  # one of an exchange before
        return kind.request(connection, *args, **kwargs)

    watched = type(kind.__name__, (kind,), {"_new_conn": new_conn, "request": request})
    return type(pool.__name__, (pool,), {"ConnectionCls": watched})


def _direct(connection: Any, inner: bool) -> socket.socket:
    name = connection._dns_host
    found = addresses.look_up(name, connection.port, inner=inner)[: addresses.MOST]
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
