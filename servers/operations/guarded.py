"""A connection that nobody can keep open for nothing: slow heads, slow bodies and readers that take nothing
end it, and each is one of a crowd that has bounds."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from servers.front.addresses import address_key
from servers.front.refusal import Refused
from servers.operations.corked import CorkedProtocol
from servers.operations.crowd import Crowd

NO_HEAD = Refused(408, "The head of the request was not complete in time.")
SLOW_BODY = Refused(408, "The body of the request came too slowly.")


class GuardedProtocol(CorkedProtocol):
    """What is waited for is one of: a head, a piece of a body, the next request, the peer's end. `_waited`
    counts the seconds of that; `_unread` those in which the peer took nothing of what waits for it."""

    def __init__(self, *given: Any, crowd: Crowd, **named: Any) -> None:
        super().__init__(*given, **named)
        self._crowd = crowd
        self.address = ""
        self._waited = self._unread_for = 0.0
        self._body = 0  # bytes of it so far
        self._body_comes = False
        self._taken = 0
        self._answered: RequestResponseCycle | None = None

    # --- How far it is

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = address_key(self.client[0]) if self.client else ""
        if refused := self._crowd.enter(self):
            self.transport.write(refused.as_bytes(""))
            self.corked.close_at_once()

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.is_gone(self)
        self.pipeline.clear()
        if self._answered:  # uvicorn tells the request that came last; others may have come behind this one
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        if not self.corked.ended:  # the rest of what was refused is dropped
            super().data_received(data)

    def on_message_begin(self) -> None:
        if not self._busy:
            self._waited = 0.0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._waited, self._body, self._body_comes = 0.0, 0, True
        self._crowd.works(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._body_comes = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._busy:
            self._waited = 0.0
            self._crowd.rests(self)

    def may_still_send(self) -> bool:
        return self._in_message and self._crowd.lingers

    # --- What the crowd does with it

    def leave(self) -> None:
        self.transport.abort()

    def look(self, seconds: float) -> None:
        self._look_at_reader(seconds)
        if self.corked.ended:
            self._wait(seconds, self._crowd.limits.linger, self.transport.abort)
        elif self._busy:
            self._look_at_body(seconds)
        elif self._body_comes:  # of a request that is answered
            self._wait(seconds, self._crowd.limits.linger, self.transport.close)
        elif self._in_message:
            self._wait(seconds, self._crowd.limits.head, lambda: self._refuse(NO_HEAD))
        elif self.cycle is None:
            self._wait(seconds, self._crowd.limits.head, self.transport.close)
        else:
            self._wait(seconds, self._crowd.limits.idle, self.transport.close)

    def _wait(self, seconds: float, most: float, end: Any) -> None:
        self._waited += seconds
        if self._waited > most:
            self._waited = 0.0
            end()

    def _look_at_reader(self, seconds: float) -> None:
        taken, limit = self.corked.taken, self._crowd.limits.unread
        if taken != self._taken or not self.transport.get_write_buffer_size():
            self._taken, self._unread_for = taken, 0.0
            return
        self._unread_for += seconds
        if self._unread_for > limit:
            self.transport.abort()

    def _look_at_body(self, seconds: float) -> None:
        """Time in which the application does not read, or has not asked for the body, is not the sender's."""
        if self._body_comes and not self.flow.read_paused and not self.cycle.waiting_for_100_continue:
            limits = self._crowd.limits
            self._wait(seconds, limits.body + self._body / limits.rate, self._give_up)

    def _give_up(self) -> None:
        cycle = self.cycle
        if cycle.response_started or self.pipeline:  # in the middle of an answer nothing else can be said
            self.transport.abort()
            return
        self._refuse(SLOW_BODY, self.scope["path"])
        cycle.disconnected = True  # the application is told, and what it still says goes nowhere
        cycle.message_event.set()

    def _refuse(self, refused: Refused, path: str = "") -> None:
        self.transport.write(refused.as_bytes(path))
        self.transport.close()
