"""What the console's pages cost while somebody keeps connections open for nothing.

    python -m benchmarks.idle_sockets [--connections 2000] [--pages 200]

Web and gateway in a process of their own, on SQLite; the attackers in another, from many addresses of the
loopback. The overview is asked for as an administrator, one after the other, before each attack and under it.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import uvloop

from benchmarks.rig import ROOT, free_port

SERVE = """
import socket, sys
from mcphost.asgi import make_application
from servers.operations.listening import listen
from servers.operations.serving import serve
serve(make_application(), listen())
"""
ADDRESSES = 50
SECONDS_TO_SETTLE = 4
LARGE = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def slow_head(port: int, number: int) -> None:
    await drips(port, number, b"GET /admin/login/ HTTP/1.1\r\nhost: localhost\r\nx: ")


async def slow_body(port: int, number: int) -> None:
    head = b"POST /hooks/nothing/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n"
    await drips(port, number, head)


async def drips(port: int, number: int, first: bytes) -> None:
    """A byte a second, and again from the beginning when it was cut."""
    _, writer = await connection(port, number)
    with suppress(OSError):
        writer.write(first)
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(1)
    writer.close()


async def slow_reader(port: int, number: int) -> None:
    reader, writer = await connection(port, number, receives=4096)
    with suppress(OSError):
        writer.write(f"GET {LARGE} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() * 8)
        while await reader.read(1024):
            await asyncio.sleep(1)
    writer.close()


async def idle(port: int, number: int) -> None:
    reader, writer = await connection(port, number)
    with suppress(OSError):
        writer.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        while await reader.read(1024):
            pass
    writer.close()


ATTACKS: dict[str, Callable[[int, int], Awaitable[None]]] = {
    "slow heads": slow_head, "slow bodies": slow_body, "slow readers": slow_reader, "idle": idle,
}  # fmt: skip


async def connection(port: int, number: int, receives: int = 0) -> Streams:
    """`receives`: bytes that the kernel takes for a reader that does not read."""
    peer = socket.socket()
    peer.setblocking(False)
    if receives:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    peer.bind((f"127.0.1.{number % ADDRESSES + 1}", 0))
    await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=peer, limit=1024)


async def attack(name: str, port: int, count: int) -> None:
    async def for_ever(number: int) -> None:
        await asyncio.sleep(number / count * SECONDS_TO_SETTLE / 2)
        while True:
            with suppress(OSError):
                await ATTACKS[name](port, number)
            await asyncio.sleep(0.5)

    await asyncio.gather(*(for_ever(number) for number in range(count)))


def prepared(data: str) -> str:
    """The key of an administrator's session, in a database of its own."""
    os.environ.update(
        ENV_FILE=str(ROOT / "tests" / "test.env"), DATA_DIR=data, DJANGO_SETTINGS_MODULE="mcphost.settings",
        LOG_LEVEL="error", BIND_ADDRESS="127.0.0.1", BIND_PORT=str(free_port()),
    )  # fmt: skip
    subprocess.run([sys.executable, str(ROOT / "manage.py"), "migrate", "-v0"], check=True, cwd=ROOT)
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    backend = "django.contrib.auth.backends.ModelBackend"
    client.force_login(User.objects.create_superuser("bench"), backend=backend)
    return client.cookies["mcphost_session"].value


def pages(port: int, key: str, count: int) -> list[float]:
    """Milliseconds of each."""
    took, http_client = [], http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(count):
        began = time.perf_counter()
        http_client.request("GET", "/admin/", headers={"Cookie": f"mcphost_session={key}"})
        answer = http_client.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        took.append((time.perf_counter() - began) * 1000)
    return took


def p95(took: list[float]) -> float:
    return statistics.quantiles(took, n=20)[-1]


def measure(port: int, key: str, server: psutil.Process, arguments: argparse.Namespace) -> None:
    """Other work on the machine disturbs single rounds: of each kind the least disturbed one counts."""
    print("| attack | connections | p95 ms without it | p95 ms under it | ratio | /readyz |")
    print("|---|---|---|---|---|---|")
    for name in arguments.only or ATTACKS:
        calm, under, held, ready = [], [], 0, set()
        for _ in range(arguments.rounds):
            calm.append(p95(pages(port, key, arguments.pages)))
            with attacked(name, port, arguments.connections):
                under.append(p95(pages(port, key, arguments.pages)))
                held = max(held, len(server.net_connections(kind="tcp")) - 1)
                ready.add(answer_of(port, "/readyz"))
        ratio, said = min(under) / min(calm), "; ".join(sorted(ready))
        print(
            f"| {name} | {held:,} | {min(calm):.0f} | {min(under):.0f} | {ratio:.2f} | {said} |", flush=True
        )


@contextmanager
def attacked(name: str, port: int, connections: int) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.idle_sockets", "--attack", name, "--port", str(port)]
    attacker = subprocess.Popen([*command, "--connections", str(connections)], cwd=ROOT)
    try:
        time.sleep(SECONDS_TO_SETTLE)
        yield
    finally:
        attacker.kill()
        attacker.wait()
        time.sleep(SECONDS_TO_SETTLE)


def answer_of(port: int, path: str) -> str:
    http_client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    http_client.request("GET", path)
    return http_client.getresponse().read().decode().strip()


def main(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="mcphost-bench-") as data:
        Path(data, "static").mkdir()
        key = prepared(data)
        port = int(os.environ["BIND_PORT"])
        served = subprocess.Popen([sys.executable, "-c", SERVE], cwd=ROOT)
        try:
            wait_for(port)
            pages(port, key, 20)  # what is built once
            measure(port, key, psutil.Process(served.pid), arguments)
        finally:
            served.terminate()
            served.wait()


def wait_for(port: int) -> None:
    for _ in range(300):
        with suppress(OSError):
            if answer_of(port, "/readyz") == "ok":
                return
        time.sleep(0.1)
    raise RuntimeError("it does not come up")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=ATTACKS)
    parser.add_argument("--attack", choices=ATTACKS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.attack:
        uvloop.run(attack(given.attack, given.port, given.connections))
    else:
        main(given)
