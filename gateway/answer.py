"""Sends the caller the server's response as it arrives, or an error in its place."""

from __future__ import annotations

import time

from bridge.event_stream import KEEP_ALIVE
from gateway import errors
from gateway.calls import Call, Outcome
from gateway.errors import Refusal
from gateway.sse import Tail
from gateway.types import RawHeaders, Send


class Answer:
    """One response. Call `begin` and then `piece`, or call `refuse` alone.

    `tail` keeps the end of the response, from which the call's outcome is read.
    """

    def __init__(self, send: Send, call: Call) -> None:
        self._send, self._call = send, call
        self.began = False
        self.tail = Tail(events=False)

    async def begin(self, status: int, raw: RawHeaders, *, events: bool, endless: bool) -> None:
        """Sends status and headers.

        `endless` tells the process to end this response at once when it is stopped.
        """
        self.tail = Tail(events=events)
        self.began, self._call.status, self._call.first_byte = True, status, time.perf_counter()
        start = {"type": "http.response.start", "status": status, "headers": raw}
        await self._send({**start, "endless": endless})

    async def piece(self, chunk: bytes, *, more: bool) -> None:
        """Sends a part of the body."""
        self.tail.feed(chunk)
        await self._pass(chunk, more=more)

    async def comment(self) -> None:
        """Sends an SSE comment, so that proxies do not close a silent stream; never inside an event."""
        if self.tail.between_events:
            await self._pass(KEEP_ALIVE, more=True)

    async def cut(self, why: Refusal | None) -> None:
        """Ends a response that the server broke off.

        A client resumes an event stream itself, unless `why` tells that the deployment has ended: then a last
        event says so. Any other body stays incomplete, so that the client notices it.
        """
        self._call.outcome = Outcome.HTTP_ERROR
        if self.tail.events and why and self._call.counts:
            await self._end_with(why)
        elif self.tail.events:
            await self._send({"type": "http.response.body", "body": b""})

    async def time_out(self, refusal: Refusal) -> None:
        """Reports that the server was silent for too long. A begun event stream gets the error as an event.

        Without that event the client would resume the stream.
        """
        if not self.began:
            await self.refuse(refusal, Outcome.TIMEOUT)
            return
        self._call.outcome = Outcome.TIMEOUT
        if self.tail.events:
            await self._end_with(refusal)

    async def refuse(self, refusal: Refusal, outcome: Outcome) -> None:
        """Sends the refusal as the response; nothing may have been sent before."""
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
