"""Writes one stream of messages to one client."""

from __future__ import annotations

from typing import Optional

from bridge import accept, jsonrpc, protocol
from bridge.http1 import Connection, Headers
from bridge.streams import Event, Stream

KEEP_ALIVE_SECONDS = 15.0


async def answer(
    connection: Connection,
    stream: Stream,
    *,
    headers: Headers = (),
    commit_seconds: float = KEEP_ALIVE_SECONDS,
    prime: bool = False,
    form: str = accept.EITHER,
) -> None:
    """Answers with one JSON body if the response comes first, else with server-sent events; in the one form
    that a client takes, where it takes but one.

    Once `commit_seconds` passed in silence it is events too: their keep-alive holds the connection open, and
    with `prime` an empty first event tells the client where to resume.
    """
    if form == accept.JSON:
        await _one(connection, stream, headers)
        return
    first = await stream.next(connection, commit_seconds) if form == accept.EITHER else None
    if stream.client is not connection:
        return
    if first and first.final:
        await connection.respond(first.status, first.data, headers)
        return
    if first:
        stream.put_back(first)
    stream.commit()
    await events(connection, stream, headers=headers, prime=prime)


async def _one(connection: Connection, stream: Stream, headers: Headers) -> None:
    """Waits for the response, however long it takes. What comes before it is not for this stream."""
    event = None
    while stream.client is connection and not (event and event.final):
        event = await stream.next(connection, KEEP_ALIVE_SECONDS)
        if not event and stream.ended and stream.client is connection:
            text = "Request cancelled by the server"
            await connection.respond(200, jsonrpc.error(protocol.REQUEST_CANCELLED, text), headers)
            return
    if event:
        await connection.respond(event.status, event.data, headers)


async def events(
    connection: Connection, stream: Stream, *, headers: Headers = (), prime: bool = False
) -> None:
    """Writes events until the stream ends or is someone else's."""
    connection.start_events(headers)
    if prime:
        await connection.send_event(b"", event_id(stream, stream.position))
    else:
        await connection.send_comment()
    while True:
        event = await stream.next(connection, KEEP_ALIVE_SECONDS)
        if event:
            await connection.send_event(event.data, event_id(stream, event.number))
        if stream.client is not connection or _is_last(event, stream):
            break
        if not event:
            await connection.send_comment()
    await connection.end_events()


def _is_last(event: Optional[Event], stream: Stream) -> bool:
    return event.final if event else stream.ended


def event_id(stream: Stream, number: int) -> Optional[str]:
    return f"{stream.number}-{number}" if stream.resumable else None
