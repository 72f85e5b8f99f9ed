"""Somebody opens more connections than the process may have files: others get in all the same."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from deploy.bench.workspace import free_port
from servers.operations.descriptors import connections_within, raise_limit
from tests.e2e.upping import MANAGE, Machine, machine
from tests.eventually import eventually
from tests.security.doorway import Door, head

pytestmark = pytest.mark.slow
FEW = 160
SERVE = """
import socket, sys
from mcphost.asgi import make_application
from servers.operations.serving import serve
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=2048)
serve(make_application(frozenset({"web"})), listening)
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("few"), migrated=True, CONNECTIONS_PER_ADDRESS="0") as made:
        assert made.command("prepare", **KEYS).returncode == 0
        yield made


KEYS = {
    "SECRET_KEY": "not-a-secret-" * 6,
    "SECRET_ENCRYPTION_KEYS": "3dLxXn2p0e8Qy0iY2l3nH8w9dT3cVJrI4Xn3q8wRk1A=",
}


@contextmanager
def served(here: Machine, soft: int, hard: int) -> Iterator[tuple[Door, psutil.Process]]:
    """The door alone, with so many files."""
    limits, port = f"ulimit -S -n {soft}; ulimit -H -n {hard}; exec", free_port()
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'{limits} "$@"', "sh", sys.executable, "-c", SERVE, str(port)],
        env=here.environment(**KEYS), cwd=MANAGE.parent,
    )  # fmt: skip
    door = Door(port)
    try:
        eventually(lambda: alive(door), what="it serves")
        yield door, psutil.Process(process.pid)
    finally:
        for peer in door.peers:
            peer.close()
        process.terminate()
        process.wait(60)


def alive(door: Door) -> bool:
    with suppress(OSError):
        return door.get("/livez").status_code == 200
    return False


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nx: ", head("/livez", method="GET")])
def test_idle_connections_beyond_all_files_shut_nobody_out(here: Machine, said: bytes) -> None:
    with served(here, FEW, FEW) as (door, process):
        for _ in range(3 * FEW):
            with suppress(OSError):
                door.peer(said)
        for _ in range(5):
            assert door.get("/admin/login/").status_code == 200
        assert door.get("/readyz").text == "ok\n"
        assert process.num_fds() < FEW


def test_where_each_is_at_work_the_next_is_told_and_nobody_breaks(here: Machine) -> None:
    """Of those that are at work each may need another file."""
    with served(here, FEW, FEW) as (door, process):
        for _ in range(3 * FEW):
            with suppress(OSError):
                door.peer(head("/hooks/nothing/", "content-length: 1000"))
        first = door.peers[0]
        first.send(b"x" * 1000)
        assert first.socket.recv(100).startswith(b"HTTP/1.1 404")
        assert process.num_fds() < FEW
        first.close()
        eventually(lambda: alive(door), what="there is room for another")


def test_a_process_takes_as_many_files_as_it_may_have(here: Machine) -> None:
    with served(here, FEW, 1000) as (_, process):
        assert process.rlimit(psutil.RLIMIT_NOFILE) == (1000, 1000)


def test_no_more_connections_are_let_in_than_there_are_files_for() -> None:
    assert raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for files in (64, 1024, 65_536):
        assert 0 < connections_within(files) * 2 < files
