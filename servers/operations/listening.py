"""Opens the platform's socket, and knows the URL at which users reach it."""

from __future__ import annotations

import socket

from django.conf import settings
from django.core.management.base import CommandError

BACKLOG = 2048
# How many bytes of one connection may wait in the kernel. With more, it would not be seen how fast a slow
# reader reads.
UNSENT = 128 * 1024


def listen(setting: str = "BIND_PORT") -> socket.socket:
    """Opens the socket. It is opened first, so that a port in use stops the start. Raises `CommandError`.

    `setting` is the name of the setting that holds the port.
    """
    address, port = settings.BIND_ADDRESS, getattr(settings, setting)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # accepted connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    try:
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CommandError(
            f"Cannot listen on {address}:{port}: {_reason(error)}. Set {setting} or BIND_ADDRESS."
        ) from error
    return listener


def public_url() -> str:
    """Returns PUBLIC_URL, or a URL made from BIND_ADDRESS and BIND_PORT."""
    if settings.PUBLIC_URL:
        return str(settings.PUBLIC_URL)
    host = "localhost" if settings.BIND_ADDRESS in ("0.0.0.0", "::") else settings.BIND_ADDRESS
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.BIND_PORT}"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
