"""Tickets, with which the console calls one server through the gateway as the user who is signed in.

A ticket is signed and not stored. It expires after a few minutes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core import signing

from servers.models.token import PREFIX

TICKET = f"{PREFIX}console."
LIVES = timedelta(minutes=5)
_signer = signing.TimestampSigner(salt="servers.tickets", sep=".")


def issue(*, user_id: int, server_id: int) -> str:
    """Returns a ticket for one user and one server, which is valid for LIVES."""
    return TICKET + _signer.sign_object([user_id, server_id])


def read(value: str) -> tuple[int, int] | None:
    """Returns the ids of the user and the server; None if the value is no ticket of ours or has expired."""
    if not value.startswith(TICKET):
        return None
    try:
        ids: Any = _signer.unsign_object(value.removeprefix(TICKET), max_age=LIVES)
    except signing.BadSignature:
        return None
    return ids[0], ids[1]
