"""What the benchmarks run: a gateway process with its own database, servers, bridges, and their costs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from deploy.bench import packages

ROOT = Path(__file__).resolve().parents[1]
ECHO = [sys.executable, str(ROOT / "benchmarks" / "echo_server.py")]
EVERYTHING = "@modelcontextprotocol/server-everything@2026.8.31"
SUPERGATEWAY = "supergateway@4.0.0"
MCP_PROXY = "mcp-proxy==0.13.0"
FASTMCP = "fastmcp==4.1.0"
FASTMCP_PROXY = """
import sys
from fastmcp.server import create_proxy
proxy = create_proxy({"mcpServers": {"echo": {"command": sys.argv[2], "args": sys.argv[3:]}}})
proxy.run(transport="http", host="127.0.0.1", port=int(sys.argv[1]), log_level="ERROR", show_banner=False)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Part:
    """A started process. What counts as its cost: it and its children, but not the hosted servers."""

    process: subprocess.Popen[bytes]
    url: str
    is_server: Callable[[psutil.Process], bool] = field(default=lambda _: False)

    def _counted(self) -> list[psutil.Process]:
        main = psutil.Process(self.process.pid)
        return [p for p in [main, *main.children(recursive=True)] if not self.is_server(p)]

    def cpu_seconds(self) -> float:
        return sum(p.cpu_times().user + p.cpu_times().system for p in self._counted())

    def rss(self) -> int:
        return sum(p.memory_info().rss for p in self._counted())

    def stop(self) -> None:
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def runs_echo(process: psutil.Process) -> bool:
    """The hosted server."""
    try:
        return process.cmdline()[1:2] == ECHO[1:]
    except psutil.Error:
        return True


@contextlib.asynccontextmanager
async def part(
    command: Sequence[str], port: int, path: str = "/mcp", env: dict[str, str] | None = None
) -> AsyncIterator[Part]:
    """Starts a process and waits until its port listens."""
    process = subprocess.Popen(
        command, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    started = Part(process, f"http://127.0.0.1:{port}{path}", runs_echo)
    try:
        await listening(port, process)
        yield started
    finally:
        started.stop()


async def listening(port: int, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(60):
        while process.poll() is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)
    raise RuntimeError(f"{process.args!r} exited with {process.returncode}")


def everything_server() -> contextlib.AbstractAsyncContextManager[Part]:
    """The TypeScript SDK's reference server, over Streamable HTTP."""
    port = free_port()
    program = packages.npm_packages(EVERYTHING) / ".bin" / "mcp-server-everything"
    return part([str(program), "streamableHttp"], port, env={"PORT": str(port)})


def our_bridge(*options: str) -> contextlib.AbstractAsyncContextManager[Part]:
    port = free_port()
    command = [sys.executable, str(ROOT / "bridge"), "--port", str(port), "--max-sessions", "2000"]
    return part([*command, *options, "--", *ECHO], port)


def bare_relay(to: str) -> contextlib.AbstractAsyncContextManager[Part]:
    """Copies bytes between two sockets, no more: what any process in between costs."""
    port = free_port()
    program = str(ROOT / "benchmarks" / "bare_relay.py")
    return part([sys.executable, program, str(port), str(urlsplit(to).port)], port, urlsplit(to).path)


def supergateway() -> contextlib.AbstractAsyncContextManager[Part]:
    port = free_port()
    program = packages.npm_packages(SUPERGATEWAY) / ".bin" / "supergateway"
    options = ["--outputTransport", "streamableHttp", "--stateful", "--logLevel", "none"]
    return part([str(program), "--stdio", " ".join(ECHO), *options, "--port", str(port)], port)


def mcp_proxy() -> contextlib.AbstractAsyncContextManager[Part]:
    port = free_port()
    program = packages.python_environment(MCP_PROXY) / "mcp-proxy"
    return part([str(program), "--log-level", "ERROR", "--port", str(port), "--", *ECHO], port)


def fastmcp_proxy() -> contextlib.AbstractAsyncContextManager[Part]:
    port = free_port()
    program = packages.python_environment(FASTMCP) / "python"
    return part([str(program), "-c", FASTMCP_PROXY, str(port), *ECHO], port)


@dataclass
class Platform:
    """The gateway's process, and the rows that lead it to a server."""

    gateway: Part
    token: str
    database: Path

    def mcp(self, slug: str) -> str:
        return self.gateway.url.replace("/mcp", f"/mcp/{slug}")


@contextlib.asynccontextmanager
async def platform() -> AsyncIterator[Platform]:
    """A gateway process on a database of its own; Django is set up on the same database in this process."""
    with tempfile.TemporaryDirectory(prefix="mcphost-bench-") as directory:
        settings = {"ENV_FILE": str(ROOT / "tests" / "test.env"), "DATA_DIR": directory}
        settings["CONNECTIONS_PER_ADDRESS"] = "0"  # all of them are ours
        os.environ.update(settings, DJANGO_SETTINGS_MODULE="mcphost.settings", LOG_LEVEL="warning")
        subprocess.run([sys.executable, str(ROOT / "manage.py"), "migrate", "-v0"], check=True, cwd=ROOT)
        import django

        django.setup()
        from benchmarks import rows

        token = await asyncio.to_thread(rows.owner_and_token)
        port = free_port()
        serve = "import socket, sys; from mcphost.asgi import make_application as make; "
        serve += (
            "from servers.operations.serving import serve; listening = socket.create_server(('127.0.0.1', "
        )
        serve += "int(sys.argv[1])), backlog=1024); serve(make(frozenset({'gateway'})), listening)"
        async with part([sys.executable, "-c", serve, str(port)], port) as gateway:
            yield Platform(gateway, token, Path(directory))
