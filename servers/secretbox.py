"""Secrets at rest: Fernet (AES-128-CBC and HMAC-SHA256), with keys that rotate.

The first of SECRET_ENCRYPTION_KEYS seals; every one of them opens. To rotate, put a new key first and run
`manage.py rotate_secrets`.
"""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from servers.errors import UserError


class Unreadable(UserError):
    """None of the keys opens this secret: it was sealed with a key that is gone."""

    def __init__(self) -> None:
        super().__init__(
            "No key of SECRET_ENCRYPTION_KEYS opens a secret of this server.",
            hint="Put the key that sealed it back, behind the first one, or set the secret anew.",
        )


def _box() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.SECRET_ENCRYPTION_KEYS])


def seal(value: str) -> bytes:
    return _box().encrypt(value.encode())


def open_sealed(sealed: bytes) -> str:
    try:
        return _box().decrypt(sealed).decode()
    except InvalidToken:
        raise Unreadable from None


def reseal(sealed: bytes) -> bytes:
    """The same secret under the first key."""
    try:
        return _box().rotate(sealed)
    except InvalidToken:
        raise Unreadable from None
