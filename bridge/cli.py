"""The command line of the bridge, its listening socket and its signals."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from contextlib import suppress
from typing import List, Tuple

from bridge.app import App, Settings
from bridge.http1 import Connection
from bridge.log import log


def parse(argv: List[str]) -> Settings:
    """Reads the command line. Limits may also come from BRIDGE_… variables, for a command line that is part
    of an image. Exits with 2 for a wrong option.
    """
    parser = argparse.ArgumentParser("bridge", description="Serves a stdio MCP server over Streamable HTTP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (%(default)s)")
    parser.add_argument("--unix", metavar="PATH", help="listen on this socket instead")
    parser.add_argument("--path", default="/mcp", help="where MCP is served (%(default)s)")
    sessions, body = os.environ.get("BRIDGE_MAX_SESSIONS", 32), os.environ.get("BRIDGE_MAX_BODY", 4 << 20)
    parser.add_argument(
        "--max-sessions", type=int, default=sessions, help="server processes at once (%(default)s)"
    )
    parser.add_argument("--idle-timeout", type=float, default=900.0, help="seconds (%(default)s)")
    parser.add_argument("--max-body", type=int, default=body, help="bytes (%(default)s)")
    ours, command = split(argv)
    options = vars(parser.parse_args(ours))
    if not command:
        parser.error("what to run is missing: bridge [options] -- command args…")
    return Settings(command=command, **options)


def split(argv: List[str]) -> Tuple[List[str], List[str]]:
    """The options of the bridge, and the command of the server, which begins after the first `--`."""
    if "--" not in argv:
        return argv, []
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def main(argv: List[str]) -> int:
    settings = parse(argv)
    try:
        asyncio.run(run(settings))
    except OSError as error:
        log(f"cannot listen: {error.strerror or error}")
        return 1
    return 0


async def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then ends every server process."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    app = App(settings)
    listener = await listen(settings, app)
    sweeper = loop.create_task(app.sweep())
    await stopping.wait()
    sweeper.cancel()
    listener.close()
    await app.close()
    with suppress(asyncio.CancelledError):
        await sweeper


async def listen(settings: Settings, app: App) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if settings.unix:
        server = await loop.create_unix_server(lambda: Connection(app.serve), settings.unix)
        log(f"listening on {settings.unix}")
        return server
    server = await loop.create_server(lambda: Connection(app.serve), settings.host, settings.port)
    host, port = server.sockets[0].getsockname()[:2]
    log(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}{settings.path}")
    return server
