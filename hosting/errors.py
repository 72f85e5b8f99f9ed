"""What a user can be told. Everything else is logged whole and shown as a sentence with a reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.reasons import Reason


class UserError(Exception):
    """A failure with a message fit for a screen.

    `message` says what happened, `hint` what to do about it. `kind` is one of the contract's `error_kind`
    values, `reason` the cause by which the platform decides (None: not known); `permanent` tells that trying
    the same again cannot help; `details` are extra JSON facts.
    """

    kind = "internal"
    reason: Reason | None = None
    permanent = True

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        kind: str | None = None,
        reason: Reason | None = None,
        permanent: bool | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.kind = kind or self.kind
        self.reason = reason or self.reason
        self.permanent = self.permanent if permanent is None else permanent
        self.details = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class SourceError(UserError):
    """The source could not be fetched, unpacked or recognised."""

    kind = "source"


class BuildError(UserError):
    """The image or the environment could not be built."""

    kind = "build"


class RuntimeFault(UserError):
    """The server could not be started, or does not answer."""

    kind = "runtime"


class TimedOut(UserError):
    kind = "timeout"
    permanent = False


class Cancelled(UserError):
    kind = "cancelled"
    permanent = False


class Conflict(UserError):
    """The request does not fit the state that the server or deployment is in (HTTP 409)."""


class Invalid(UserError):
    """The request itself is wrong (HTTP 400); `field` names the input at fault."""

    def __init__(self, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field
