"""Encodes pages of events, as they are written to clients."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import close_old_connections
from django_eventstream.eventrequest import EventRequest
from django_eventstream.eventresponse import EventResponse
from django_eventstream.eventstream import get_events
from django_eventstream.utils import make_id, parse_last_event_id, sse_encode_event

from servers.streams.access import Reader

EVENTS = 100


class BadLastEventId(ValueError):
    """It is no id that one of our events has."""


@dataclass(frozen=True)
class Page:
    """A page of events. `last` is the position after it; `more` means that it ended at the limit."""

    body: bytes
    last: int
    more: bool


def read(channel: str, after: int | None) -> Page:
    """Reads the events after a position. With None it returns an empty page at the current position."""
    close_old_connections()
    asked = EventRequest()
    asked.channels, asked.user, asked.is_next = {channel}, Reader(channel), False
    asked.channel_last_ids = {} if after is None else {channel: str(after)}
    found: EventResponse = get_events(asked, limit=EVENTS)
    events = found.channel_items[channel]
    last = int(events[-1].id if events else found.channel_last_ids[channel])
    body = "".join(sse_encode_event(e.type, e.data, make_id({channel: e.id})) for e in events)
    if found.channel_reset:
        body = sse_encode_event(
            "stream-reset", {"channels": [channel]}, make_id({channel: last}), json_encode=True
        )
    return Page(body.encode(), last, bool(found.channel_more))


def opening(channel: str, position: int) -> bytes:
    """Returns what comes first, with the id to resume from.

    So a client that loses the connection before the first event misses nothing.
    """
    hello: str = sse_encode_event("stream-open", "", make_id({channel: position}))
    return b"retry: 2000\n\n" + hello.encode()


def position_in(last_event_id: str, channel: str) -> int | None:
    """Returns the position in a Last-Event-ID, or None if it is "". Raises `BadLastEventId`.

    For the id of another channel it returns -1, which is always too old.
    """
    if not last_event_id:
        return None
    try:
        ids = {name: int(position) for name, position in parse_last_event_id(last_event_id).items()}
    except ValueError:
        raise BadLastEventId(last_event_id) from None
    return max(ids.get(channel, -1), -1)
