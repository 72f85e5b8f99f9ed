"""Small servers that the tests host, and what it takes to start them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from servers.leash import Leash
from servers.runtimes.base import Handle, OutputLine, RunSpec, Runtime

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
        "transport": "streamable-http",
        "command": (sys.executable, "server.py"),
        "directory": directory,
    }
    return RunSpec(**{**values, **changes})


def leash(seconds: float = 30) -> Leash:
    return Leash.of(seconds)


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """What `condition` gives once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("it never came to be")


def ended(runtime: Runtime, handle: Handle) -> Any:
    return until(lambda: (status := runtime.poll(handle)) and not status.alive and status)


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
