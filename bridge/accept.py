"""In which content types a client accepts an answer."""

from __future__ import annotations

import re

from bridge.http1 import HttpError, Request

EITHER, JSON, EVENTS = "either", "json", "events"  # the values of `form`
JSON_TYPE, EVENTS_TYPE = "application/json", "text/event-stream"
_NEVER = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*(;|$)", re.IGNORECASE)


def form(request: Request) -> str:
    """EITHER, JSON or EVENTS, by the Accept header. Raises `HttpError` 406 where the client accepts neither
    type.

    The specification demands that clients accept both (2025-11-25, Streamable HTTP); some accept only one.
    """
    json, events = accepts(request, JSON_TYPE), accepts(request, EVENTS_TYPE)
    if not (json or events):
        raise HttpError(406, f"The client must accept {JSON_TYPE} or {EVENTS_TYPE}")
    return EITHER if json and events else JSON if json else EVENTS


def accepts(request: Request, media_type: str) -> bool:
    """Whether the Accept header allows a type. Its most specific range decides (RFC 9110, section 12.5.1)."""
    accept = request.header("accept")
    if accept is None:
        return True
    ranges = {}
    for part in accept.split(","):
        name, _, parameters = part.partition(";")
        ranges[name.strip().lower()] = not _NEVER.search(f";{parameters}")
    likest = (media_type, media_type.partition("/")[0] + "/*", "*/*")
    return next((ranges[name] for name in likest if name in ranges), False)


def check_events(request: Request) -> None:
    """Raises `HttpError` 406 for a client that does not accept event streams."""
    if not accepts(request, EVENTS_TYPE):
        raise HttpError(406, f"The client must accept {EVENTS_TYPE}")
