"""Secrets at rest (`sealing`), with an error that a user can be told."""

from __future__ import annotations

import sealing
from hosting.errors import UserError
from sealing import seal

__all__ = ["Unreadable", "open_sealed", "seal"]


class Unreadable(UserError):
    """None of the keys opens this secret: it was sealed with a key that is gone."""

    def __init__(self) -> None:
        super().__init__(
            "No key of SECRET_ENCRYPTION_KEYS opens a secret of this server.",
            hint="Put the key that sealed it back, behind the first one, or set the secret anew.",
        )


def open_sealed(sealed: bytes) -> str:
    try:
        return sealing.open_sealed(sealed)
    except sealing.Unsealable:
        raise Unreadable from None
