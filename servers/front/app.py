"""Django as an ASGI application. A thread is taken when the request is complete, and only while it works."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings

from servers.front import allowance, wsgi
from servers.front.addresses import address_key
from servers.front.bodies import Body, ClientGone
from servers.front.in_flight import InFlight
from servers.front.refusal import Refused
from servers.front.threads import Threads

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASIDE = 2  # threads that find out who sends a large body, and as many that write bodies to disk
DATABASE_SECONDS = 5.0


class Front:
    """Receives a request, waits for one of `threads` threads, and sends Django's answer piece by piece."""

    def __init__(self, django: wsgi.Application, threads: int) -> None:
        self._django = django
        self.threads = Threads(threads)
        self._database = ThreadPoolExecutor(ASIDE, thread_name_prefix="front-db")
        self._disk = ThreadPoolExecutor(ASIDE, thread_name_prefix="front-disk")
        self._in_flight = InFlight()
        self._of: Counter[str] = Counter()

    def close(self) -> None:
        """Ends all but Django's threads.

        The caller ends those, because their database connections must be closed.
        """
        self._database.shutdown(wait=False, cancel_futures=True)
        self._disk.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        address = address_key((scope.get("client") or ("",))[0])
        try:
            with self._counted(address):
                await self._serve(scope, receive, send, address)
        except Refused as refused:
            await refused.answer(scope["path"], send)
        except ClientGone:
            pass

    async def _serve(self, scope: Message, receive: Receive, send: Send, address: str) -> None:
        body = Body(scope, lambda: self._allowance(scope), self._disk)
        try:
            await body.receive(receive, self._in_flight)
            answer = wsgi.Answer(self._django, wsgi.environ_of(scope, body.file, body.length))
            async with _leaving(receive) as left:
                await self._turn(address, left)
                await self._answer(answer, send, left, address)
        except asyncio.CancelledError:  # a thread may still read the file
            body.release()
            raise
        except BaseException:
            body.close()
            raise
        body.close()

    async def _turn(self, address: str, left: asyncio.Task[None]) -> None:
        """Waits until the caller has a thread. Raises `ClientGone` and `Refused`."""
        if self.threads.take():
            return
        turn = asyncio.ensure_future(self.threads.turn(address))
        try:
            await asyncio.wait({turn, left}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._taken_back(turn)
            raise
        if not turn.done():
            await self._taken_back(turn)
            raise ClientGone
        turn.result()

    async def _taken_back(self, turn: asyncio.Task[None]) -> None:
        turn.cancel()
        await asyncio.wait({turn})
        if not turn.cancelled() and turn.exception() is None:
            self.threads.give_back()

    async def _answer(self, answer: wsgi.Answer, send: Send, left: asyncio.Task[None], address: str) -> None:
        """Sends the answer. Django makes the next piece when the client has read the one before."""
        try:
            piece = await self.threads.run(answer.begin)
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            while not (answer.over or left.done()):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if not self.threads.take():
                    await self.threads.turn(address, begins=False)
                piece = await self.threads.run(answer.more)
            await send({"type": "http.response.body", "body": piece, "more_body": not answer.over})
        finally:
            if answer.abandon():
                with contextlib.suppress(RuntimeError):  # the pool is being closed
                    self.threads.executor.submit(answer.close)

    async def _allowance(self, scope: Message) -> allowance.Allowance:
        asking = asyncio.get_running_loop().run_in_executor(self._database, allowance.of, scope)
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                return await asking
        except TimeoutError:
            raise Refused(503, "The database does not answer in time.", retry_after=5) from None

    @contextlib.contextmanager
    def _counted(self, key: str) -> Iterator[None]:
        """Limits requests of one address.

        Needed behind a proxy, where connections cannot be limited by address.
        """
        most = settings.CONNECTIONS_PER_ADDRESS
        if most and self._of[key] >= most:
            raise Refused(429, f"{most} requests of your address are under way: wait.", retry_after=5)
        self._of[key] += 1
        try:
            yield
        finally:
            self._of[key] -= 1
            if not self._of[key]:
                del self._of[key]


@contextlib.asynccontextmanager
async def _leaving(receive: Receive) -> AsyncIterator[asyncio.Task[None]]:
    """Yields a task that ends when the client has closed the connection."""
    left = asyncio.ensure_future(_left(receive))
    try:
        yield left
    finally:
        left.cancel()


async def _left(receive: Receive) -> None:
    with contextlib.suppress(RuntimeError):  # uvloop raises it for a closed connection
        while (await receive())["type"] != "http.disconnect":
            pass
