"""The application under daphne, by its own command and by `runserver`."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from deploy.bench.workspace import free_port
from tests.eventually import eventually

from .upping import MANAGE, Machine, Session, Up, archive, greeted, machine, statuses_until

pytestmark = pytest.mark.slow
PASSWORD = "the password of this test"
DAPHNE = ["-m", "daphne", "--verbosity", "0", "--port", "{port}", "mcphost.asgi:application"]
RUNSERVER = [str(MANAGE), "runserver", "--noreload", "{port}"]
RELOADING = [str(MANAGE), "runserver", "{port}"]
HINT = "Deployments wait for a worker"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path, migrated=True, ADMIN_PASSWORD=PASSWORD) as made:
        yield made


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Machine]:
    """Without a schema."""
    with machine(tmp_path) as made:
        yield made


def launch(here: Machine, words: list[str]) -> Up:
    port, out, err = free_port(), here.home / "served.out", here.home / "served.err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, *(word.format(port=port) for word in words)],
            env=here.environment(BIND_PORT=str(port), PYTHONUNBUFFERED="1"),
            cwd=MANAGE.parent,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    return listening(Up(process, port, out, err))


def listening(up: Up) -> Up:
    def there() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", up.port), 5):
            return True
        return not up.is_alive()

    eventually(there, within=120, what="it listens")
    assert up.is_alive(), up.said + up.complaints
    return up


def prepared(here: Machine) -> None:
    ended = here.command("prepare")
    assert ended.returncode == 0, ended.stderr


def recorded_calls(here: Machine) -> int:
    with sqlite3.connect(here.database) as database:
        rows = database.execute("select count(*) from metrics_usagemetric where event_type = 'mcp_call'")
        return int(rows.fetchone()[0])


@pytest.mark.parametrize("words", [DAPHNE, RUNSERVER], ids=["daphne", "runserver"])
async def test_a_live_feed_and_a_call(here: Machine, words: list[str]) -> None:
    prepared(here)
    up = launch(here, words)
    session = Session(up, PASSWORD)
    assert session.login.status_code == 302
    feed = session.feed()
    assert feed.headers["Content-Type"].startswith("text/event-stream")
    with archive(here.home) as source:
        deployed = here.command("deploy", "hello", "--archive", str(source), "--here")
    assert deployed.returncode == 0, deployed.stderr
    assert statuses_until(feed, "running")[-1] == "running"

    token = session.post("/api/tokens/", {"name": "test", "scope": "mcp"})["value"]
    tools, answer = await greeted(f"{up.url}/mcp/hello", token)
    assert "greet" in tools
    assert answer == "Hello, Ada!"

    endless = session.feed()  # nobody ends it but the process
    assert next(endless.iter_content(1))
    assert up.stop(signal.SIGTERM) == 0
    endless.close()
    assert recorded_calls(here) > 0
    assert "Traceback" not in up.said + up.complaints


def test_pages_bodies_and_static_files_are_as_under_uvicorn(here: Machine) -> None:
    prepared(here)
    up = launch(here, RUNSERVER)
    page = requests.get(f"{up.url}/admin/login/?next=/admin/%3Fcode%3Da-secret", timeout=60)
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    style = requests.get(f"{up.url}/static/plain.css", timeout=60)
    assert (style.status_code, style.headers["Content-Type"]) == (200, 'text/css; charset="utf-8"')
    assert requests.get(f"{up.url}/api/servers/", timeout=60).status_code == 401
    large = requests.post(f"{up.url}/api/servers/", data=b"x" * 5_000_000, timeout=60)
    assert large.status_code == 413
    assert HINT in up.said
    assert up.stop() == 0
    assert "GET /admin/login/ 200" in up.complaints
    assert "a-secret" not in up.said + up.complaints


def test_a_fresh_directory_is_told_to_migrate(bare: Machine) -> None:
    up = launch(bare, RELOADING)
    eventually(lambda: HINT in up.said, what="it has looked at the database")
    assert "unapplied migration(s)" in up.said
    assert requests.get(f"{up.url}/mcp/hello", timeout=60).status_code == 401
    assert bare.env_file.exists()
    assert up.stop() in (0, 130)
    assert "Traceback" not in up.said + up.complaints


def test_other_processes_load_nothing_of_daphne() -> None:
    script = "import django, sys; django.setup(); import mcphost.asgi; "
    script += "print({'daphne', 'twisted.internet.reactor'} & {*sys.modules})"
    ended = subprocess.run([sys.executable, "-c", script], cwd=MANAGE.parent, capture_output=True, check=True)
    assert ended.stdout == b"set()\n"
