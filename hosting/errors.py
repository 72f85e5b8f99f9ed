"""Errors whose message a user may read. Of any other error the log gets all, and the user a general sentence
with a reference to the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.reasons import Reason


class UserError(Exception):
    """A failure whose message can be shown to a user.

    `message` says what happened, `hint` what the user can do about it. `kind` is an `error_kind` of the API.
    `reason` is the cause as a code: the platform decides by it, and None means that it is not known.
    `permanent` means that another attempt without a change fails again. `details` are further facts, as JSON.
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
    """The step took longer than its deadline allows."""

    kind = "timeout"
    permanent = False


class Cancelled(UserError):
    """Somebody asked to stop the step."""

    kind = "cancelled"
    permanent = False


class Conflict(UserError):
    """The request does not fit the state that the server or deployment is in (HTTP 409)."""


class Invalid(UserError):
    """The request itself is wrong (HTTP 400); `field` names the input at fault."""

    def __init__(self, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field
