"""What uvicorn, as `up` runs it, and daphne cost on the gateway's path: `python -m benchmarks.asgi_servers`.

Both serve the same database and the same hosted server, in turn; only their own CPU is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys

from benchmarks import rig
from benchmarks.gateway import Measured, Way, measure


async def main(arguments: argparse.Namespace) -> None:
    """The best round of each counts, for others may use this machine."""
    best: dict[tuple[int, str], Measured] = {}
    async with rig.platform() as platform, rig.our_bridge() as bridge:
        from benchmarks import rows

        await asyncio.to_thread(rows.serve, "echo", bridge.url)
        port = rig.free_port()
        command = [sys.executable, "-m", "daphne", "--verbosity", "0", "--port", str(port)]
        async with rig.part([*command, "mcphost.asgi:application"], port, "/mcp/echo") as daphne:
            ways = [
                Way("uvicorn", platform.mcp("echo"), platform.token, [platform.gateway]),
                Way("daphne", daphne.url, platform.token, [daphne]),
            ]
            for _, sessions, way in itertools.product(range(arguments.rounds), arguments.sessions, ways):
                made = await measure(way, sessions, arguments.seconds)
                known = best.get((sessions, way.name), made)
                best[sessions, way.name] = max(known, made, key=lambda each: each.calls_per_second)
    print("| server | sessions | calls/s | p50 ms | p99 ms | CPU ms per call | RSS MB |")
    print("|---|---|---|---|---|---|---|")
    for measured in best.values():
        print(measured.row())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="per server and number of sessions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 16])
    asyncio.run(main(parser.parse_args()))
