"""Writes the messages of one stream to one client."""

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
    """Answers a call: with JSON when the response is the first message, else with an event stream. `form`
    (see `accept`) limits this to one of them.

    After `commit_seconds` without a message it becomes an event stream, since its keep-alive comments hold
    the connection open. `prime` sends an empty first event, which gives the client an id to resume from
    (2025-11-25, Streamable HTTP, "Sending Messages to the Server").
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
    """Waits for the response and answers with JSON. Messages before it have no place in such an answer."""
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
    """Writes an event stream, until `stream` ends or another client is attached to it."""
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
    """The id of an event, which is unique in its session; None where the stream cannot be resumed."""
    return f"{stream.number}-{number}" if stream.resumable else None
