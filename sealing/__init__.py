"""Encrypts secrets at rest with Fernet (AES-128-CBC and HMAC-SHA256) and keys that can be rotated.

The first key in SECRET_ENCRYPTION_KEYS encrypts; each of them decrypts. To rotate, put a new key first and
run `manage.py rotate_secrets`.
"""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class Unsealable(Exception):
    """None of the keys decrypts the value: its key was removed."""


def _box() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.SECRET_ENCRYPTION_KEYS])


def seal(value: str) -> bytes:
    """Encrypts a secret with the first key."""
    return _box().encrypt(value.encode())


def open_sealed(sealed: bytes) -> str:
    """Decrypts a secret. Raises `Unsealable`."""
    try:
        return _box().decrypt(sealed).decode()
    except InvalidToken:
        raise Unsealable from None


def reseal(sealed: bytes) -> bytes:
    """Encrypts a sealed secret again with the first key. Raises `Unsealable`."""
    try:
        return _box().rotate(sealed)
    except InvalidToken:
        raise Unsealable from None
