"""What the gateway and the bridge cost beside other bridges, in one run: `python -m benchmarks.gateway`.

Everything runs on this machine and shares its cores with the client: trust ratios of one run, and CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import resource
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import psutil

from benchmarks import rig
from benchmarks.client import Session, Unexpected

WARM_UP = 0.5
IDLE = 1000


@dataclass
class Way:
    """One way to a server: where, and the parts whose cost is counted."""

    name: str
    url: str
    token: str
    parts: Sequence[rig.Part]


@dataclass
class Measured:
    name: str
    sessions: int
    calls_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    rss_mb: float

    def row(self) -> str:
        figures = f"{self.calls_per_second:,.0f} | {self.p50_ms:.1f} | {self.p99_ms:.1f} | "
        figures += f"{self.cpu_ms:.2f} | {self.rss_mb:.0f}" if self.rss_mb else "– | –"
        return f"| {self.name} | {self.sessions} | {figures} |"


async def measure(way: Way, sessions: int, seconds: float) -> Measured:
    clients = [Session(way.url, way.token) for _ in range(sessions)]
    for client in clients:
        await client.open()
    try:
        await load(clients, WARM_UP)
        cpu = sum(part.cpu_seconds() for part in way.parts)
        began = time.perf_counter()
        times = await load(clients, seconds)
        took = time.perf_counter() - began
        cpu = sum(part.cpu_seconds() for part in way.parts) - cpu
        rss = sum(part.rss() for part in way.parts)
    finally:
        for client in clients:
            with contextlib.suppress(OSError, EOFError):
                await client.end()
    ordered = statistics.quantiles(times, n=100)
    calls = len(times)
    return Measured(
        way.name, sessions, calls / took, ordered[49] * 1e3, ordered[98] * 1e3, cpu / calls * 1e3, rss / 1e6
    )


async def load(clients: Sequence[Session], seconds: float) -> list[float]:
    """Each session calls as soon as it has its answer; the duration of every call."""
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def one(client: Session, number: int) -> None:
        while (began := time.perf_counter()) < until:
            await client.echo(f"message {number}")
            times.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for number, client in enumerate(clients):
            group.create_task(one(client, number))
    return times


async def idle_streams(platform: rig.Platform) -> str:
    """What a thousand silent GET streams take of the gateway."""
    async with silent_server() as endpoint:
        from benchmarks import rows

        await asyncio.to_thread(rows.serve, "silent", endpoint)
        process = psutil.Process(platform.gateway.process.pid)
        first = Session(platform.mcp("silent"), platform.token)
        await first.stream()
        before = process.memory_info().rss, process.num_threads()
        held = [Session(platform.mcp("silent"), platform.token) for _ in range(IDLE)]
        for at in range(0, IDLE, 50):
            await asyncio.gather(*(client.stream() for client in held[at : at + 50]))
        grown = (process.memory_info().rss - before[0]) / IDLE / 1024
        databases = sum(
            ".sqlite3" in file.path and not file.path.endswith(("-wal", "-shm"))
            for file in process.open_files()
        )
        said = f"{IDLE:,} idle streams: {grown:.0f} KiB each; threads {before[1]} before, "
        said += f"{process.num_threads()} with them; database connections {databases}"
        for client in [first, *held]:
            client.close()
        return said


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    open_streams: list[asyncio.Task[None] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_streams.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    finally:
        server.close()
        await asyncio.wait([stream for stream in open_streams if stream], timeout=10)


Opened = Callable[[], contextlib.AbstractAsyncContextManager[rig.Part]]
PEERS: dict[str, Opened] = {
    "mcp-proxy": rig.mcp_proxy,
    "supergateway": rig.supergateway,
    "fastmcp proxy": rig.fastmcp_proxy,
}


@contextlib.asynccontextmanager
async def ways(only: str) -> AsyncIterator[tuple[list[Way], rig.Platform]]:
    async with contextlib.AsyncExitStack() as stack:
        platform = await stack.enter_async_context(rig.platform())
        from benchmarks import rows

        everything = await stack.enter_async_context(rig.everything_server())
        bridge = await stack.enter_async_context(rig.our_bridge())
        await asyncio.to_thread(rows.serve, "everything", everything.url)
        await asyncio.to_thread(rows.serve, "echo", bridge.url)
        relay = await stack.enter_async_context(rig.bare_relay(everything.url))
        found = [
            Way("HTTP: direct", everything.url, "", []),
            Way("HTTP: bare relay", relay.url, "", [relay]),
            Way("HTTP: gateway", platform.mcp("everything"), platform.token, [platform.gateway]),
            Way("stdio: our bridge", bridge.url, "", [bridge]),
            Way("stdio: gateway + bridge", platform.mcp("echo"), platform.token, [platform.gateway, bridge]),
        ]
        for name, opened in PEERS.items():
            if only in f"stdio: {name}":
                peer = await stack.enter_async_context(opened())
                found.append(Way(f"stdio: {name}", peer.url, "", [peer]))
        yield [way for way in found if only in way.name], platform


async def main(arguments: argparse.Namespace) -> None:
    """Rounds go through all ways in turn, and the best round of each counts: others may use this machine."""
    best: dict[tuple[int, str], Measured] = {}
    async with ways(arguments.only) as (found, platform):
        for _ in range(arguments.rounds):
            for sessions, way in itertools.product(arguments.sessions, found):
                try:
                    made = await measure(way, sessions, arguments.seconds)
                except* (OSError, EOFError, Unexpected) as fault:
                    print(f"{way.name} with {sessions} sessions failed: {fault.exceptions[0]!r:.200}")
                else:
                    known = best.get((sessions, way.name), made)
                    best[sessions, way.name] = max(known, made, key=lambda each: each.calls_per_second)
        print("| way | sessions | calls/s | p50 ms | p99 ms | CPU ms per call | RSS MB |")
        print("|---|---|---|---|---|---|---|")
        for measured in best.values():
            print(measured.row())
        print("\n" + await idle_streams(platform))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="per way and number of sessions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="ways whose name holds this")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 16, 64])
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(main(parser.parse_args()))
