"""The official conformance suite, and the Python SDK's reference server in both of its transports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from deploy.bench import packages
from deploy.bench.workspace import free_port

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
SDK = "mcp==2.3.0"  # the reference server comes with the SDK's source, and runs on the SDK that we test with
REVISIONS = ("2025-11-25", "2026-07-28")
SECONDS = 400  # the suite opens 30 sessions, and behind a bridge each starts a process
BRIDGES = {
    "python": [sys.executable, str(Path(__file__).parents[2] / "bridge")],
    "node": ["node", str(Path(__file__).parents[2] / "bridge" / "bridge.mjs")],
}
STDIO = [sys.executable, "-c", "from mcp_everything_server.server import mcp; mcp.run('stdio')"]

Check = tuple[str, str, str]  # scenario, check, status


async def checks(url: str, revision: str, results: Path, scenario: str = "") -> Counter[Check]:
    """Runs what the revision requires against `url`, or one scenario of it."""
    suite = packages.npm_packages(SUITE) / ".bin" / "conformance"
    one = ["--scenario", scenario, "--spec-version", revision, "--force"]
    chosen = one if scenario else ["--requirements", revision]
    command = [packages.newer_node(), str(suite), "server", "--url", url, *chosen]
    process = await asyncio.create_subprocess_exec(
        *command, "-o", str(results), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(SECONDS):
        await process.wait()  # its status is 1 as soon as one check fails, some do against any server
    found = Counter(check for file in results.glob("*/checks.json") for check in _read(file))
    assert found, f"the conformance suite made no check: {' '.join(command)}"
    return found


def _read(file: Path) -> list[Check]:
    """The folder's name is that of the command (`server`), of the scenario, and the time."""
    scenario = re.sub(r"-\d{4}-\d\d-\d\dT[\dZ-]+$", "", file.parent.name).removeprefix("server-")
    return [(scenario, check["id"], check["status"]) for check in json.loads(file.read_text())]


@contextlib.asynccontextmanager
async def reference_server() -> AsyncIterator[str]:
    """Over Streamable HTTP; yields its URL."""
    port = free_port()
    options = ["-m", "mcp_everything_server", "--port", str(port), "--log-level", "ERROR"]
    async with _running([sys.executable, *options], port):
        yield f"http://127.0.0.1:{port}/mcp"


@contextlib.asynccontextmanager
async def bridged_server(bridge: Sequence[str]) -> AsyncIterator[str]:
    """Over stdio, behind this bridge; yields its URL."""
    port = free_port()
    async with _running([*bridge, "--port", str(port), "--", *STDIO], port):
        yield f"http://127.0.0.1:{port}/mcp"


@contextlib.asynccontextmanager
async def _running(command: Sequence[str], port: int) -> AsyncIterator[None]:
    source = packages.source_of(SDK) / "examples" / "servers" / "everything-server"
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "PYTHONPATH": str(source)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _listening(port, process)
        yield
    finally:
        process.terminate()
        await process.wait()


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60):
        while process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)
    raise AssertionError(f"the server exited with {process.returncode}")
