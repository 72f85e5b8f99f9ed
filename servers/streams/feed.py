"""The listeners of this process, and what wakes them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from channels.db import database_sync_to_async
from django.db import DatabaseError

from bridge.event_stream import KEEP_ALIVE
from servers.streams import pages, storage
from servers.streams.pages import Page
from servers.wakeups import bus

LOOK_EVERY = 5.0
KEEP_ALIVE_EVERY = 15.0
SHARED_PAGES = 64
logger = logging.getLogger(__name__)
_feeds: dict[asyncio.AbstractEventLoop, Feed] = {}


class Feed:
    """The listeners of one event loop. All its methods run in that loop."""

    def __init__(self) -> None:
        self.listeners: dict[str, set[asyncio.Event]] = {}
        self.ended = False
        self._seen: dict[str, int] = {}  # only `_look` reads and writes it
        self._shared: dict[str, dict[int | None, asyncio.Task[Page]]] = {}
        self._running = ExitStack()

    async def stream(self, channel: str, after: int | None) -> AsyncGenerator[bytes, None]:
        """Yields what to write to a client, until `end` is called.

        `after` is the position to resume from; None begins with new events. Events that a slow client has not
        read yet stay in the database.
        """
        with self._listening(channel) as woken:
            page = await self._page(channel, after)
            yield pages.opening(channel, page.last if after is None else after) + page.body
            while not self.ended:
                while page.more or await _within(woken, KEEP_ALIVE_EVERY):
                    if self.ended:
                        return
                    woken.clear()
                    page = await self._page(channel, page.last)
                    if page.body:
                        yield page.body
                yield KEEP_ALIVE

    def wake(self, channel: str) -> None:
        """Lets the listeners of a channel read again."""
        self._shared.pop(channel, None)
        for woken in self.listeners.get(channel, ()):
            woken.set()

    def end(self) -> None:
        """Ends all streams of this loop."""
        self.ended = True
        self.wake_all()

    def wake_all(self) -> None:
        for channel in list(self.listeners):
            self.wake(channel)

    async def _page(self, channel: str, after: int | None) -> Page:
        """Reads a page. Listeners at the same position share one read, until a wake-up."""
        shared = self._shared.setdefault(channel, {})
        if len(shared) >= SHARED_PAGES:
            shared.clear()
        if after not in shared:
            shared[after] = asyncio.ensure_future(database_sync_to_async(pages.read)(channel, after))
        reading = shared[after]
        try:
            return await asyncio.shield(reading)
        except Exception:
            shared.pop(after, None)
            raise

    @contextmanager
    def _listening(self, channel: str) -> Iterator[asyncio.Event]:
        woken = asyncio.Event()
        self.listeners.setdefault(channel, set()).add(woken)
        try:
            if len(self.listeners) == 1 and len(self.listeners[channel]) == 1:
                self._start()
            yield woken
        finally:
            self._leave(channel, woken)

    def _leave(self, channel: str, woken: asyncio.Event) -> None:
        self.listeners[channel].discard(woken)
        if not self.listeners[channel]:
            for about in (self.listeners, self._seen, self._shared):
                about.pop(channel, None)
        if not self.listeners:
            self._running.close()

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        _feeds[loop] = self
        self._running.callback(_feeds.pop, loop, None)
        self._running.callback(asyncio.ensure_future(self._look()).cancel)
        self._running.enter_context(bus.hearing(partial(self._hear, loop)))

    def _hear(self, loop: asyncio.AbstractEventLoop, topic: str | None) -> None:
        """Runs in the thread of the sender, or of the bus."""
        if topic is None:
            _call(loop, self.wake_all)
        elif topic in self.listeners:
            _call(loop, self.wake, topic)

    async def _look(self) -> None:
        """Wakes listeners of channels whose position has changed, in case that a wake-up was lost."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                found = await database_sync_to_async(storage.positions)(list(self.listeners))
            except DatabaseError:
                logger.warning("live feeds wait for the database", exc_info=True)
                continue
            for channel, position in found.items():
                if position != self._seen.get(channel):
                    self._seen[channel] = position
                    self.wake(channel)


def of_this_loop() -> Feed:
    """Returns the feed of the running loop, or a new one, which is registered when somebody listens."""
    return _feeds.get(asyncio.get_running_loop()) or Feed()


def end_all() -> None:
    """Ends every open stream, because the process stops. Clients connect again with their last id."""
    for loop, feed in list(_feeds.items()):
        _call(loop, feed.end)


def _call(loop: asyncio.AbstractEventLoop, act: Callable[..., None], *arguments: str) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was just closed
        loop.call_soon_threadsafe(act, *arguments)


async def _within(woken: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await woken.wait()
    return False


def listeners() -> int:
    """Returns how many listen in this process. Call it in any thread."""
    return sum(len(woken) for each in list(_feeds.values()) for woken in list(each.listeners.values()))
