"""Makes the command, the environment and the limits of a hosted process from a RunSpec.

Linux has no good limit per process for memory and for the number of processes: RLIMIT_AS counts address
space, of which node reserves gigabytes, and RLIMIT_NPROC counts all processes of the user (setrlimit(2)). So
the limits here are wide; they stop a server that grows within seconds. `ProcessRuntime` enforces the real
limits.
"""

from __future__ import annotations

from pathlib import Path

from hosting.errors import RuntimeFault
from hosting.runtimes.base import Limits, RunSpec

HOST = "127.0.0.1"
BRIDGE_PATH = "/mcp"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DATA_HEADROOM_MB = 512  # for writable memory that is reserved and never used: thread stacks, heaps
PIDS_FACTOR = 32
OPEN_FILES = 8192
MIB = 1 << 20


def prepared_directory(spec: RunSpec) -> Path:
    """`spec.directory`; raises `RuntimeFault` where it was removed or never prepared."""
    if not spec.directory or not (spec.directory / "app").is_dir():
        raise RuntimeFault(
            "The server's environment is not there.", hint="Redeploy the server: that prepares it again."
        )
    return spec.directory


def command(spec: RunSpec, port: int, *, python: Path, bridge: Path) -> list[str]:
    """The arguments of the run, the program as an absolute path, with `{port}` replaced. For a stdio server
    it is the bridge, which starts it. Raises `RuntimeFault` where there is no command.
    """
    if not spec.command:
        raise RuntimeFault("The server has no command to start.", hint="Set a command for it and redeploy.")
    own = [part.replace("{port}", str(port)) for part in spec.command]
    if spec.transport == "streamable-http":
        return own
    served = ["--host", HOST, "--port", str(port), "--path", BRIDGE_PATH]
    return [str(python), "-I", "-u", str(bridge), *served, "--", *own]


def endpoint(spec: RunSpec, port: int) -> str:
    """The URL of the run: its own path, or that of the bridge for a stdio server."""
    path = spec.path if spec.transport == "streamable-http" else BRIDGE_PATH
    return f"http://{HOST}:{port}/{path.lstrip('/')}"


def environment(spec: RunSpec, port: int, *, temporary: Path, search_path: str) -> dict[str, str]:
    """The whole environment of the server: a base and its own variables, nothing of the platform's
    environment.

    PORT and HOST are set last, because they have to fit the endpoint. `temporary` becomes TMPDIR.
    """
    directory = prepared_directory(spec)
    base = {
        "PATH": ":".join([*_own_programs(directory), search_path]),
        "HOME": str(directory / "home"),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",  # else the last lines before a crash would be lost
    }
    address = {"PORT": str(port), "HOST": HOST} if spec.transport == "streamable-http" else {}
    return {**base, **spec.environment, **address}


def resource_limits(limits: Limits) -> dict[str, int]:
    """Values by the names of setrlimit(2), in bytes or as a count."""
    wanted = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": OPEN_FILES}
    if limits.memory_mb:
        wanted["RLIMIT_DATA"] = (limits.memory_mb + DATA_HEADROOM_MB) * MIB
    if limits.pids:
        wanted["RLIMIT_NPROC"] = limits.pids * PIDS_FACTOR
    return wanted


def _own_programs(directory: Path) -> list[str]:
    """The directories that `builder.environment.bin_directories` looks for, whether they exist or not."""
    places = ("venv/bin", "tools/bin", "app/node_modules/.bin", "tree/node_modules/.bin")
    return [str(directory / place) for place in places]
