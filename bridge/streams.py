"""Queues of messages from a server to a client, and the log from which a client can resume."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Deque, List, NamedTuple, Optional, Protocol, Tuple

HIGH_WATER = 1 << 20  # bytes in the queue of a client from which on its server is paused
SLOW_CLIENT = "a client that does not take what it is sent was cut off"
REPLAY_EVENTS = 1000
REPLAY_BYTES = 2 << 20  # but always one event


class Event(NamedTuple):
    """One message in a stream."""

    number: int  # in its stream, from 1
    data: bytes
    final: bool = False  # the response, which ends the stream
    status: int = 200  # of HTTP, where the answer is this event only


class Client(Protocol):
    """What a stream needs of a connection."""

    def abort(self) -> None: ...


class _Signal:
    """An event that wakes one waiter, with a timeout. `set` is forgotten where nobody waits."""

    def __init__(self) -> None:
        self._waiter: Optional[asyncio.Future[None]] = None

    def set(self) -> None:
        if self._waiter:
            _resolve(self._waiter)

    async def wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(seconds, _resolve, waiter)
        try:
            await waiter
        finally:
            timer.cancel()


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class ReplayLog:
    """The last events of all streams of a session, at most REPLAY_EVENTS and REPLAY_BYTES."""

    def __init__(self) -> None:
        self._events: Deque[Tuple[int, Event]] = deque()
        self._bytes = 0

    def add(self, stream: int, event: Event) -> None:
        self._events.append((stream, event))
        self._bytes += len(event.data)
        while len(self._events) > 1 and (self._bytes > REPLAY_BYTES or len(self._events) > REPLAY_EVENTS):
            self._bytes -= len(self._events.popleft()[1].data)

    def clear(self) -> None:
        self._events.clear()
        self._bytes = 0

    def after(self, stream: int, number: int) -> List[Event]:
        """The events of a stream after this number that are still kept."""
        return [event for owner, event in self._events if owner == stream and event.number > number]


class Stream:
    """The messages of one call, or of the GET stream of a session. At most one client is attached.

    With `log`, events are also kept there from `commit` on. A client whose connection was broken can then
    attach again, after the last event that it has received.
    """

    def __init__(self, number: int = 0, log: Optional[ReplayLog] = None) -> None:
        self.number = number
        self.ended = False
        self.client: Optional[Client] = None
        self._log = log
        self._committed = False
        self._waiting: Deque[Event] = deque()
        self._waiting_bytes = 0
        self._pushed = 0
        self._taken = 0
        self._arrival = _Signal()
        self._space = _Signal()

    @property
    def full(self) -> bool:
        """Whether its server should be paused."""
        return self.client is not None and self._waiting_bytes >= HIGH_WATER

    @property
    def resumable(self) -> bool:
        """Whether its events have ids."""
        return self._committed and self._log is not None

    @property
    def position(self) -> int:
        """The number of the last event that a client has taken."""
        return self._taken

    def attach(self, client: Client, after: Optional[int] = None) -> None:
        """Attaches `client` in the place of any other: from the event after the number `after`, else from the
        first one that no client has taken. Without a log it begins with the next event.
        """
        self.client = client
        if self._log and self._committed:
            start = self._taken if after is None else after
            self._refill(self._log.after(self.number, start))
        self._arrival.set()  # wakes the client before, which then sees that it is detached

    def detach(self, client: Client) -> None:
        if self.client is client:
            self.client = None
            self._refill([])
            self._arrival.set()

    def disconnect(self) -> None:
        """Detaches the client and closes its connection."""
        if self.client:
            client = self.client
            self.detach(client)
            client.abort()

    def commit(self) -> None:
        """Starts keeping events: from now on the client gets event ids."""
        if self._log and not self._committed:
            for event in self._waiting:
                self._log.add(self.number, event)
        self._committed = True

    def push(self, data: bytes, *, final: bool = False, status: int = 200) -> None:
        """Adds a message. Without a client it is only kept in the log; after the end it is dropped."""
        if self.ended:
            return
        self._pushed += 1
        self.ended = final
        event = Event(self._pushed, data, final, status)
        if self._log and self._committed:
            self._log.add(self.number, event)
        if self.client:
            self._waiting.append(event)
            self._waiting_bytes += len(data)
        self._arrival.set()

    def end(self) -> None:
        """Ends the stream without a response."""
        self.ended = True
        self._arrival.set()

    async def next(self, client: Client, seconds: float) -> Optional[Event]:
        """The next event; None after `seconds`, at the end of the stream, or when `client` is detached."""
        if self.client is client and not self._waiting and not self.ended:
            await self._arrival.wait(seconds)
        if self.client is not client or not self._waiting:
            return None
        return self._take()

    def put_back(self, event: Event) -> None:
        """Puts an event that was taken but not written at the front again."""
        self._waiting.appendleft(event)
        self._waiting_bytes += len(event.data)
        self._taken = event.number - 1

    async def wait_for_room(self, seconds: float) -> bool:
        """Waits until the queue is below HIGH_WATER. False where it is not, after `seconds`."""
        if self.full:
            await self._space.wait(seconds)
        return not self.full

    def _take(self) -> Event:
        event = self._waiting.popleft()
        self._waiting_bytes -= len(event.data)
        self._taken = event.number
        if not self.full:
            self._space.set()
        return event

    def _refill(self, events: List[Event]) -> None:
        self._waiting = deque(events)
        self._waiting_bytes = sum(len(event.data) for event in events)
        self._space.set()
