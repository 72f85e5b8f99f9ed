"""Calls at a third of the top rate while servers are redeployed, crash, and callers leave.

`python -m benchmarks.soak [--minutes 10]`: every call is answered but those that a fault cuts, and every one
is recorded; memory stays flat and no process is left. Ends with status 1 where that is not so. Loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import psutil

from benchmarks import rig
from benchmarks.client import Session, Unexpected
from benchmarks.gateway import load

SLUG, SESSIONS = "soak", 16
DRAIN = 3.0  # seconds from the switch to the end of the old deployment; a route is believed for one
FLAT = 1.15  # of what the gateway took after a quarter of the time


class Soak:
    def __init__(self, platform: rig.Platform, seconds: float) -> None:
        self.platform, self.until = platform, time.monotonic() + seconds
        self.seen: Counter[str] = Counter()
        self.lost: list[str] = []
        self.sent = 0

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    def session(self) -> Session:
        return Session(self.platform.mcp(SLUG), self.platform.token)

    async def caller(self, number: int, pause: float) -> None:
        """One paced session, opened again whenever the server says that it is lost."""
        session = self.session()
        await session.open()
        for count in itertools.count():
            if self.over:
                break
            next_at = time.monotonic() + pause
            try:
                session = await self._echo(session, f"{number}-{count}")
            except (Unexpected, OSError, EOFError) as fault:
                self.lost.append(repr(fault))
                session = await self._again(session)
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
        await session.end()

    async def _echo(self, session: Session, text: str) -> Session:
        self.sent += 1
        try:
            await session.echo(text)
        except Unexpected as fault:
            if fault.status != 404:
                raise
            self.seen["session lost, opened again"] += 1
            session = await self._again(session)
            self.sent += 1
            await session.echo(text)
        self.seen["answered"] += 1
        return session

    async def _again(self, session: Session) -> Session:
        session.close()
        fresh = self.session()
        await fresh.open()
        return fresh

    async def crash(self) -> None:
        """The server dies within a call: its caller hears of it at once, and the session is gone."""
        session = self.session()
        await session.open()
        self.sent += 1
        with contextlib.suppress(Unexpected):
            await session.call("exit", "never said")
            self.lost.append("a crash went unnoticed")
        self.seen["cut by a crash"] += 1
        session.close()

    async def leave(self) -> None:
        """A caller goes away within its call."""
        session = self.session()
        await session.open()
        self.sent += 1
        await session.post_and_leave("slow", "nobody waits")
        self.seen["cut by its caller"] += 1

    async def every(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        while not self.over:
            await asyncio.sleep(min(seconds, max(0.0, self.until - time.monotonic())))
            await act()


class Deployments:
    """The deployment that serves, replaced as the platform does it: start, switch, drain, end."""

    def __init__(self, stack: contextlib.AsyncExitStack, seen: Counter[str]) -> None:
        self._stack, self._seen = stack, seen
        self._current: tuple[int, contextlib.AsyncExitStack] | None = None
        self.parts: list[rig.Part] = []

    async def replace(self) -> None:
        from benchmarks import rows

        own = contextlib.AsyncExitStack()
        self._stack.push_async_exit(own)
        bridge = await own.enter_async_context(rig.our_bridge())
        deployment = await asyncio.to_thread(rows.serve, SLUG, bridge.url)
        old, self._current, self.parts = self._current, (deployment, own), [*self.parts, bridge]
        if old:
            await asyncio.sleep(DRAIN)
            await asyncio.to_thread(rows.drained, old[0])
            await asyncio.sleep(DRAIN)
            await asyncio.to_thread(asyncio.run, old[1].aclose())
            self._seen["redeployed"] += 1


def zombies() -> int:
    children = psutil.Process().children(recursive=True)
    return sum(child.status() == psutil.STATUS_ZOMBIE for child in children)


@contextlib.asynccontextmanager
async def sampled(soak: Soak, gateway: rig.Part) -> AsyncIterator[list[tuple[float, int, int]]]:
    """(time, RSS of the gateway, zombies), twice a second."""
    samples: list[tuple[float, int, int]] = []

    async def sample() -> None:
        while True:
            samples.append((time.monotonic(), gateway.rss(), zombies()))
            await asyncio.sleep(0.5)

    task = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        task.cancel()


async def top_rate(platform: rig.Platform) -> float:
    clients = [Session(platform.mcp(SLUG), platform.token) for _ in range(SESSIONS)]
    for client in clients:
        await client.open()
    calls = len(await load(clients, 5))
    for client in clients:
        await client.end()
    return calls / 5


async def main(minutes: float) -> int:
    async with contextlib.AsyncExitStack() as stack:
        platform = await stack.enter_async_context(rig.platform())
        from benchmarks import rows

        counted: Counter[str] = Counter()
        deployments = Deployments(stack, counted)
        await deployments.replace()
        top = await top_rate(platform)
        await recorded(rows.recorded, -1)
        before = sum((await asyncio.to_thread(rows.recorded, SLUG)).values())
        print(f"top rate {top:,.0f} calls/s; {minutes:g} min at a third of it")
        soak = Soak(platform, minutes * 60)
        soak.seen = counted
        pace = SESSIONS / (top / 3)
        async with sampled(soak, platform.gateway) as samples:
            await asyncio.gather(
                *(soak.caller(number, pace) for number in range(SESSIONS)),
                soak.every(20, deployments.replace),
                soak.every(5, soak.crash),
                soak.every(2, soak.leave),
            )
        written = await recorded(rows.recorded, before + soak.sent)
        return report(soak, samples, {**written}, before)


async def recorded(ask: Callable[[str], dict[str, int]], expected: int) -> dict[str, int]:
    """What is recorded, once it is what is expected or nothing is added any more."""
    last: dict[str, int] = {}
    while True:
        await asyncio.sleep(3)
        found = await asyncio.to_thread(ask, SLUG)
        if found == last or sum(found.values()) == expected:
            return found
        last = found


def report(soak: Soak, samples: list[tuple[float, int, int]], written: dict[str, int], before: int) -> int:
    quarter = samples[len(samples) // 4][1]
    total = sum(written.values()) - before
    end = samples[-1][1]
    left = [sample[2] for sample in samples[-4:]]
    print(", ".join(f"{name}: {count:,}" for name, count in sorted(soak.seen.items())))
    print(f"calls sent {soak.sent:,}, recorded {total:,} ({written})")
    print(f"gateway RSS after a quarter {quarter / 1e6:.1f} MB, at the end {end / 1e6:.1f} MB")
    print(f"zombies at the end {min(left)}, at most {max(sample[2] for sample in samples)} at once")
    print(f"lost: {len(soak.lost)} {soak.lost[:5]}")
    fine = not soak.lost and total == soak.sent and end <= quarter * FLAT and min(left) == 0
    print("passed" if fine else "FAILED")
    return 0 if fine else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    sys.exit(asyncio.run(main(parser.parse_args().minutes)))
