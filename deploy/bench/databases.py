"""Private PostgreSQL and Redis on loopback. They do not sync to disk: their data need not last."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
from pathlib import Path

from .requirement import program
from .workspace import Workspace, free_port

_POSTGRES_USER = "nobody"  # PostgreSQL refuses to run as root


def start_redis(workspace: Workspace) -> str:
    """Start Redis without persistence; returns its redis:// URL."""
    home, port = workspace.directory("redis"), free_port()
    workspace.start(
        [
            program("redis-server"),
            *("--bind", "127.0.0.1", "--port", str(port), "--dir", str(home)),
            *("--save", "", "--appendonly", "no"),
        ],
        log=home / "redis.log",
        ready=lambda: _accepts(port),
    )
    return f"redis://127.0.0.1:{port}/0"


def start_postgres(workspace: Workspace) -> str:
    """Initialise and start PostgreSQL (UTF-8, user postgres, no password); returns a DATABASE_URL."""
    home, port = workspace.directory("postgres"), free_port()
    user = _as_unprivileged(home)
    data = home / "data"
    subprocess.run(
        [
            *user,
            program("initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
        cwd=home,
    )
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    workspace.start(
        [
            *user,
            *(program("postgres"), "-D", str(data), "-p", str(port)),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ],
        log=home / "postgres.log",
        ready=lambda: _accepts(port) and "ready to accept connections" in (home / "postgres.log").read_text(),
        stop_signal=signal.SIGINT,  # SIGTERM would wait for clients
    )
    return f"postgres://postgres@127.0.0.1:{port}/postgres"


def _as_unprivileged(home: Path) -> list[str]:
    """The prefix that drops root, and `home` given to that user; empty when there is no root to drop."""
    if home.stat().st_uid != 0:
        return []
    entry = pwd.getpwnam(_POSTGRES_USER)
    os.chown(home, entry.pw_uid, entry.pw_gid)
    ids = ["--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--clear-groups"]
    # A change of user clears the parent-death signal: set it again.
    return [program("setpriv"), *ids, "--pdeathsig", "INT", "--"]


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
