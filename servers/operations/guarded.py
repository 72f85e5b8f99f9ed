"""A protocol that ends connections which keep the platform waiting.

These are slow heads, slow bodies and peers that do not read. Each connection is in a `ConnectionTable`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from servers.front.addresses import address_key
from servers.front.refusal import Refused
from servers.operations.connection_table import ConnectionTable
from servers.operations.corked import CorkedProtocol

NO_HEAD = Refused(408, "The head of the request was not complete in time.")
SLOW_BODY = Refused(408, "The body of the request came too slowly.")


class GuardedProtocol(CorkedProtocol):
    """An HTTP protocol with the time limits of `table.limits`.

    It waits for one thing at a time: a head, a piece of a body, the next request, or the peer's end.
    `_waited` counts the seconds of that. `_unread_for` counts the seconds in which the peer read nothing of
    its answer.
    """

    def __init__(self, *given: Any, table: ConnectionTable, **named: Any) -> None:
        super().__init__(*given, **named)
        self._table = table
        self.address = ""
        self._waited = self._unread_for = 0.0
        self._body = 0  # bytes of it so far
        self._body_comes = False
        self._taken = 0
        self._answered: RequestResponseCycle | None = None

    # --- Events of the connection

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = address_key(self.client[0]) if self.client else ""
        if refused := self._table.add(self):
            self.transport.write(refused.as_bytes(""))
            self.corked.close_at_once()

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self)
        self.pipeline.clear()
        if self._answered:  # uvicorn notifies the newest request only, and others may be pipelined
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
        self._table.mark_busy(self)
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
            self._table.mark_idle(self)

    def may_still_send(self) -> bool:
        return self._in_message and self._table.lingers

    # --- Called by the table

    def disconnect(self) -> None:
        self.transport.abort()

    def tick(self, seconds: float) -> None:
        self._look_at_reader(seconds)
        if self.corked.ended:
            self._wait(seconds, self._table.limits.linger, self.transport.abort)
        elif self._busy:
            self._look_at_body(seconds)
        elif self._body_comes:  # of a request that is answered
            self._wait(seconds, self._table.limits.linger, self.transport.close)
        elif self._in_message:
            self._wait(seconds, self._table.limits.head, lambda: self._refuse(NO_HEAD))
        elif self.cycle is None:
            self._wait(seconds, self._table.limits.head, self.transport.close)
        else:
            self._wait(seconds, self._table.limits.idle, self.transport.close)

    def _wait(self, seconds: float, most: float, end: Any) -> None:
        self._waited += seconds
        if self._waited > most:
            self._waited = 0.0
            end()

    def _look_at_reader(self, seconds: float) -> None:
        taken, limit = self.corked.taken, self._table.limits.unread
        if taken != self._taken or not self.transport.get_write_buffer_size():
            self._taken, self._unread_for = taken, 0.0
            return
        self._unread_for += seconds
        if self._unread_for > limit:
            self.transport.abort()

    def _look_at_body(self, seconds: float) -> None:
        """Counts only time in which the sender is late, not time in which the application does not read."""
        if self._body_comes and not self.flow.read_paused and not self.cycle.waiting_for_100_continue:
            limits = self._table.limits
            self._wait(seconds, limits.body + self._body / limits.rate, self._give_up)

    def _give_up(self) -> None:
        cycle = self.cycle
        if cycle.response_started or self.pipeline:  # an answer that has begun cannot be replaced
            self.transport.abort()
            return
        self._refuse(SLOW_BODY, self.scope["path"])
        cycle.disconnected = True  # the application sees the end; what it still sends is dropped
        cycle.message_event.set()

    def _refuse(self, refused: Refused, path: str = "") -> None:
        self.transport.write(refused.as_bytes(path))
        self.transport.close()
