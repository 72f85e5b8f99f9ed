"""The platform's own socket, and the URL under which people find it."""

from __future__ import annotations

import socket

from django.conf import settings
from django.core.management.base import CommandError

BACKLOG = 2048
# Bytes of one connection that wait in the kernel to be sent. With more of them one could not see how much a
# slow reader takes.
UNSENT = 128 * 1024


def listen(setting: str = "BIND_PORT") -> socket.socket:
    """Listens before anything else is done: a port that is taken stops the start. Raises `CommandError`.

    `setting` names the one that has the port.
    """
    address, port = settings.BIND_ADDRESS, getattr(settings, setting)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # what is accepted inherits it
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
    if settings.PUBLIC_URL:
        return str(settings.PUBLIC_URL)
    host = "localhost" if settings.BIND_ADDRESS in ("0.0.0.0", "::") else settings.BIND_ADDRESS
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.BIND_PORT}"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
