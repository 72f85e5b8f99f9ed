"""Secrets at rest: Fernet (AES-128-CBC and HMAC-SHA256), with keys that rotate.

The first of SECRET_ENCRYPTION_KEYS seals; every one of them opens. To rotate, put a new key first and run
`manage.py rotate_secrets`.
"""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class Unsealable(Exception):
    """None of the keys opens it: it was sealed with a key that is gone."""


def _box() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.SECRET_ENCRYPTION_KEYS])


def seal(value: str) -> bytes:
    return _box().encrypt(value.encode())


def open_sealed(sealed: bytes) -> str:
    try:
        return _box().decrypt(sealed).decode()
    except InvalidToken:
        raise Unsealable from None


def reseal(sealed: bytes) -> bytes:
    """The same secret under the first key."""
    try:
        return _box().rotate(sealed)
    except InvalidToken:
        raise Unsealable from None
