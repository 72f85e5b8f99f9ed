"""`manage.py up` as an operator starts it: a process of its own, a directory of its own, a free port."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import psutil
import requests
from cryptography.fernet import Fernet
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from deploy.bench.workspace import free_port
from tests.eventually import eventually
from tests.platform import archive_of, hello_files, processes_under

MANAGE = Path(__file__).parents[2] / "manage.py"
READY = "Ctrl-C stops."
QUICK = {
    "LOG_LEVEL": "info",
    "CONTAINER_RUNTIME": "process",
    "DOCKER_HOST": "unix:///nonexistent/docker.sock",
    "BIND_ADDRESS": "127.0.0.1",
    "HEARTBEAT_SECONDS": "0.5",
    "ABANDONED_AFTER_SECONDS": "60",
    "RECONCILE_SECONDS": "0.2",
    "DRAIN_SECONDS": "0.2",
    "STOP_GRACE_SECONDS": "2",
}


@dataclass
class Machine:
    """Where a platform lives between its starts: `.env`, data, and what each start has printed."""

    home: Path
    more: Mapping[str, str] = field(default_factory=dict)
    starts: int = 0

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def database(self) -> Path:
        return self.data / "mcphost.sqlite3"

    @property
    def env_file(self) -> Path:
        return self.home / ".env"

    def environment(self, **more: str) -> dict[str, str]:
        own = {"DATA_DIR": str(self.data), "ENV_FILE": str(self.env_file), "HOME": str(self.home)}
        return {"PATH": os.environ["PATH"], **own, **QUICK, **self.more, **more}

    def command(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A management command, to its end; port 3000 may be somebody's."""
        return subprocess.run(
            [sys.executable, MANAGE, *words],
            env=self.environment(**{"BIND_PORT": str(free_port()), **more}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *parts: str, **more: str) -> Up:
        """Returns once it says that it is up."""
        return self.launch(*parts, **more).comes_up()

    def launch(self, *parts: str, **more: str) -> Up:
        self.starts += 1
        out, err = self.home / f"{self.starts}.out", self.home / f"{self.starts}.err"
        port = more.pop("BIND_PORT", None) or str(free_port())
        only = [word for part in parts for word in ("--only", part)]
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, MANAGE, "up", *only],
                env=self.environment(BIND_PORT=port, **more),
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        return Up(process, int(port), out, err)

    def hosted(self) -> list[psutil.Process]:
        """What of ours is at work in its directory: servers, builds, fetches."""
        return processes_under(self.data)

    def statuses(self) -> dict[str, str]:
        """Of its servers, by slug, as its database has them: each command is a process that takes seconds."""
        with closing(sqlite3.connect(self.database)) as database:
            return dict(database.execute("select slug, status from servers_server"))

    def json(self, *words: str) -> list[dict[str, Any]]:
        """What a command with --json prints."""
        return [json.loads(line) for line in self.command(*words, "--json").stdout.splitlines()]


@dataclass
class Up:
    process: subprocess.Popen[bytes]
    port: int
    out: Path
    err: Path

    @property
    def said(self) -> str:
        return self.out.read_text()

    @property
    def complaints(self) -> str:
        return self.err.read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def comes_up(self) -> Up:
        eventually(lambda: READY in self.said or not self.is_alive(), within=120, what="it is up")
        assert self.is_alive(), self.said + self.complaints
        return self

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def printed(self, pattern: str) -> str:
        found = re.search(pattern, self.said)
        assert found, f"{pattern} is not in:\n{self.said}"
        return found[1]

    @property
    def password(self) -> str:
        return self.printed(r"Password  (\S+)")

    @property
    def token(self) -> str:
        return self.printed(r"Token  (\S+)")

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(120)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def health(self) -> dict[str, Any]:
        return dict(requests.get(f"{self.url}/api/health/", timeout=60).json())


class Session:
    """The browser of somebody who is logged in at the admin."""

    def __init__(self, up: Up, password: str, username: str = "admin") -> None:
        self.up, self.http = up, requests.Session()
        where = f"{up.url}/admin/login/"
        self.http.get(where, timeout=60)
        form = {"username": username, "password": password, "csrfmiddlewaretoken": self._token()}
        self.login = self.http.post(where, form, allow_redirects=False, timeout=60)

    def get(self, path: str) -> Any:
        answer = self.http.get(f"{self.up.url}{path}", timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def post(self, path: str, body: object = None) -> Any:
        headers = {"X-CSRFToken": self._token()}
        answer = self.http.post(f"{self.up.url}{path}", json=body or {}, headers=headers, timeout=60)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def upload(self, path: str, archive: Path, **fields: str) -> Any:
        with archive.open("rb") as file:
            answer = self.http.post(
                f"{self.up.url}{path}",
                data={"server": json.dumps(fields)},
                files={"archive": file},
                headers={"X-CSRFToken": self._token()},
                timeout=60,
            )
        assert answer.ok, answer.text
        return answer.json()

    def feed(self) -> requests.Response:
        """The live feed of statuses, from now on."""
        return self.http.get(f"{self.up.url}/api/servers/stream/", stream=True, timeout=60)

    def _token(self) -> str:
        return self.http.cookies["mcphost_csrf"]


def statuses_until(feed: requests.Response, last: str) -> list[str]:
    """What the feed tells, up to that status."""
    seen: list[str] = []
    for line in feed.iter_lines(chunk_size=1):
        if line.startswith(b"data:") and b'"status"' in line:
            seen.append(json.loads(line[5:])["status"])
            if seen[-1] == last:
                feed.close()
                return seen
    raise AssertionError(f"the feed ended after {seen}")


@cache
def _migrated() -> bytes:
    """A database as `manage.py migrate` leaves an empty one: no user, no server."""
    with TemporaryDirectory() as home:
        made = Machine(Path(home))
        made.data.mkdir()
        keys = {"SECRET_KEY": "x" * 60, "SECRET_ENCRYPTION_KEYS": Fernet.generate_key().decode()}
        done = made.command("migrate", **keys)
        assert done.returncode == 0, done.stderr
        return made.database.read_bytes()


@contextmanager
def machine(home: Path, *, migrated: bool = False, **more: str) -> Iterator[Machine]:
    """Whatever a test leaves running there is ended with it.

    `migrated`: with a database that has the schema and nothing else. Its migrations are most of the work of a
    first start, and the same for each test.
    """
    made = Machine(home, more)
    if migrated:
        made.data.mkdir(mode=0o700)
        made.database.write_bytes(_migrated())
    try:
        yield made
    finally:
        for process in [*_platforms_of(made), *made.hosted()]:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _platforms_of(made: Machine) -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if child.is_running() and _environment(child) == str(made.env_file)]


def _environment(process: psutil.Process) -> str:
    try:
        return process.environ().get("ENV_FILE", "")
    except psutil.Error:
        return ""


@contextmanager
def archive(home: Path, files: Mapping[str, str | bytes] | None = None) -> Iterator[Path]:
    path = home / "source.tar.gz"
    path.write_bytes(archive_of(files or hello_files()))
    yield path
    path.unlink()


async def greeted(url: str, token: str, name: str = "Ada") -> tuple[set[str], str]:
    """The names of the tools and greet's answer, as the `mcp` package's own client gets them."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode="auto") as client,
    ):
        tools = await client.list_tools()
        answer = await client.call_tool("greet", {"name": name})
    return {tool.name for tool in tools.tools}, str(answer.content[0].text)  # type: ignore[union-attr]
