"""Seals and opens secrets (`sealing`), with an error whose text can be shown to users."""

from __future__ import annotations

import sealing
from hosting.errors import UserError
from sealing import seal

__all__ = ["Unreadable", "open_sealed", "seal"]


class Unreadable(UserError):
    """No key of SECRET_ENCRYPTION_KEYS opens this secret: the key that sealed it is missing."""

    def __init__(self) -> None:
        super().__init__(
            "No key of SECRET_ENCRYPTION_KEYS opens a secret of this server.",
            hint="Put the key that sealed it back, behind the first one, or set the secret anew.",
        )


def open_sealed(sealed: bytes) -> str:
    """Returns the secret; raises `Unreadable`."""
    try:
        return sealing.open_sealed(sealed)
    except sealing.Unsealable:
        raise Unreadable from None
