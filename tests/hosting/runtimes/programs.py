"""Small servers that the tests host, and what it takes to start them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from hosting.deadline import Deadline
from hosting.runtimes.base import Handle, OutputLine, RunSpec, Runtime
from tests.eventually import eventually

LISTENER = """
import http.server, os, sys
print("environment", sorted(os.environ), flush=True)
print("hello from", os.getcwd(), file=sys.stderr, flush=True)
address = os.environ["HOST"], int(os.environ["PORT"])
http.server.HTTPServer(address, http.server.BaseHTTPRequestHandler).serve_forever()
"""


def prepared(directory: Path, program: str = LISTENER) -> Path:
    (directory / "app").mkdir(parents=True)
    (directory / "app" / "server.py").write_text(program)
    return directory


def spec(directory: Path | None, **changes: Any) -> RunSpec:
    values: dict[str, Any] = {
        "server_id": 7,
        "slug": "weather",
        "deployment_id": 42,
        "number": 3,
        "run_id": 42,
        "transport": "streamable-http",
        "command": (sys.executable, "server.py"),
        "directory": directory,
    }
    return RunSpec(**{**values, **changes})


def deadline(seconds: float = 120) -> Deadline:
    return Deadline.of(seconds)


def ended(runtime: Runtime, handle: Handle) -> Any:
    return eventually(lambda: (status := runtime.poll(handle)) and not status.alive and status)


def has_ended(pid: int) -> bool:
    """An orphan that has ended is the init process's to collect, in its own time."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_output(runtime: Runtime, handle: Handle) -> list[OutputLine]:
    lines: list[OutputLine] = []
    cursor, more = "", True
    while more:
        found, following = runtime.output(handle, cursor)
        lines.extend(found)
        more, cursor = following != cursor, following
    return lines


def texts(lines: Sequence[OutputLine], stream: str = "") -> list[str]:
    return [line.text for line in lines if not stream or line.stream == stream]
