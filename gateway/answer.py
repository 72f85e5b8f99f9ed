"""What the caller of one exchange gets: the server's response as it comes, or an error in its place."""

from __future__ import annotations

import time

from bridge.event_stream import KEEP_ALIVE
from gateway import errors
from gateway.calls import Call, Outcome
from gateway.errors import Refusal
from gateway.sse import Tail
from gateway.types import RawHeaders, Send


class Answer:
    """`begin`, then pieces; or `refuse` alone. `tail` is as much of it as is looked at."""

    def __init__(self, send: Send, call: Call) -> None:
        self._send, self._call = send, call
        self.began = False
        self.tail = Tail(events=False)

    async def begin(self, status: int, raw: RawHeaders, *, events: bool, endless: bool) -> None:
        """`endless` is for the door, which ends such an answer as soon as the process is stopped."""
        self.tail = Tail(events=events)
        self.began, self._call.status, self._call.first_byte = True, status, time.perf_counter()
        start = {"type": "http.response.start", "status": status, "headers": raw}
        await self._send({**start, "endless": endless})

    async def piece(self, chunk: bytes, *, more: bool) -> None:
        self.tail.feed(chunk)
        await self._pass(chunk, more=more)

    async def comment(self) -> None:
        """Keeps proxies from closing a silent stream; never inside an event."""
        if self.tail.between_events:
            await self._pass(KEEP_ALIVE, more=True)

    async def cut(self, why: Refusal | None) -> None:
        """The server broke off. Of an event stream clients take up the rest, unless its deployment has ended,
        which an event then says. Any other body is left unfinished, so that nobody takes a part for the
        whole."""
        self._call.outcome = Outcome.HTTP_ERROR
        if self.tail.events and why and self._call.counts:
            await self._end_with(why)
        elif self.tail.events:
            await self._send({"type": "http.response.body", "body": b""})

    async def time_out(self, refusal: Refusal) -> None:
        """Within an event stream the error is an event: were it only cut, a client would resume it."""
        if not self.began:
            await self.refuse(refusal, Outcome.TIMEOUT)
            return
        self._call.outcome = Outcome.TIMEOUT
        if self.tail.events:
            await self._end_with(refusal)

    async def refuse(self, refusal: Refusal, outcome: Outcome) -> None:
        self._call.status, self._call.outcome = refusal.status, outcome
        self._call.bytes_out = await errors.answer(self._send, refusal, self._call.request_id)

    async def _end_with(self, refusal: Refusal) -> None:
        event = b"data: " + refusal.body(self._call.request_id) + b"\n\n"
        begun = b"" if self.tail.between_events else b"\n\n"
        await self._send({"type": "http.response.body", "body": begun + event})

    async def _pass(self, chunk: bytes, *, more: bool) -> None:
        if chunk or not more:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": more})
        self._call.bytes_out += len(chunk)
