"""Decides from the headers of a request how large its body may be: by the address, and by who sends it."""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable, MutableMapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import Error, connections
from django.http import Http404
from django.template.defaultfilters import filesizeformat
from django.urls import resolve

from servers import callers
from servers.front import larger
from servers.front.larger import Files, Larger, Strangers
from servers.front.refusal import Refused

SMALL = 64 * 1024  # what anybody may send
AT_ONCE = 4  # bodies of the largest size in memory that one person may send at once
BY_STRANGERS = "Without a login a request has at most 64 KiB: log in, or send a token."
MULTIPART = "multipart/form-data"


@dataclass(frozen=True)
class Allowance:
    """How large a body may be: at most `most` bytes; `reason` says so.

    `key` may have `together` bytes in all open requests. If `on_disk`, a body above SMALL is written to a
    file.
    """

    most: int
    reason: str
    key: Hashable = None
    together: int = 0
    on_disk: bool = False

    def refusal(self) -> Refused:
        return Refused(413, self.reason)


def of(scope: MutableMapping[str, Any]) -> Allowance:
    """Returns the allowance for a request. Asks the database; raises `Refused` (503) if that fails."""
    try:
        return _of(ASGIRequest(dict(scope), io.BytesIO()))
    except Error:
        raise Refused(503, "The database does not answer. Try again.", retry_after=5) from None
    finally:
        connections.close_all()


def _of(request: ASGIRequest) -> Allowance:
    mark, arguments = _marked(request)
    if isinstance(mark, Strangers):
        allowed = mark.allow(request, **arguments)
        return _of_strangers(allowed) if allowed else Allowance(SMALL, "A delivery has at most 64 KiB here.")
    user = callers.of(request).user
    if not user.is_authenticated:
        return Allowance(SMALL, BY_STRANGERS)
    if isinstance(mark, Files) and request.content_type == MULTIPART:
        return _of_files(mark.most, user.pk)
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    reason = f"The body of a request to this address has at most {filesizeformat(most)}."
    return Allowance(most, reason, ("memory", user.pk), most * AT_ONCE)


def _marked(request: ASGIRequest) -> tuple[Files | Strangers | None, dict[str, Any]]:
    try:
        found = resolve(request.path_info)
    except Http404:
        return None, {}
    return larger.mark_of(found.func, request.method), found.kwargs


def _of_strangers(allowed: Larger) -> Allowance:
    reason = f"A delivery has at most {filesizeformat(allowed.most)}."
    return Allowance(allowed.most, reason, allowed.key, allowed.together, on_disk=True)


def _of_files(most: Callable[[], int], person: int) -> Allowance:
    limit = most()
    return Allowance(
        limit + larger.FRAMING,
        f"The file is larger than it may be here: {limit} bytes.",
        ("files", person),
        max(settings.UPLOADS_PER_PERSON_BYTES, limit + larger.FRAMING),
        on_disk=limit > settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
    )
