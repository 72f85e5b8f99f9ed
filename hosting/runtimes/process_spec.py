"""RunSpec → command, environment and limits of a hosted process: pure functions.

Memory and process counts have no good per-process limit: RLIMIT_AS counts address space that node reserves by
the gigabyte, RLIMIT_NPROC counts everything that the user runs. So both are set wide here, as a stop for
what runs away within seconds, and `ProcessRuntime.poll` holds the whole run to the real limits.
"""

from __future__ import annotations

from pathlib import Path

from hosting.errors import RuntimeFault
from hosting.runtimes.base import Limits, RunSpec

HOST = "127.0.0.1"
BRIDGE_PATH = "/mcp"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DATA_HEADROOM_MB = 512  # writable memory that is reserved and never touched: thread stacks, heaps
PIDS_FACTOR = 32
OPEN_FILES = 8192
MIB = 1 << 20


def prepared_directory(spec: RunSpec) -> Path:
    if not spec.directory or not (spec.directory / "app").is_dir():
        raise RuntimeFault(
            "The server's environment is not there.", hint="Redeploy the server: that prepares it again."
        )
    return spec.directory


def command(spec: RunSpec, port: int, *, python: Path, bridge: Path) -> list[str]:
    """The absolute argv of the run, with `{port}` filled in; a stdio server is wrapped by the bridge."""
    if not spec.command:
        raise RuntimeFault("The server has no command to start.", hint="Set a command for it and redeploy.")
    own = [part.replace("{port}", str(port)) for part in spec.command]
    if spec.transport == "streamable-http":
        return own
    served = ["--host", HOST, "--port", str(port), "--path", BRIDGE_PATH]
    return [str(python), "-I", "-u", str(bridge), *served, "--", *own]


def endpoint(spec: RunSpec, port: int) -> str:
    path = spec.path if spec.transport == "streamable-http" else BRIDGE_PATH
    return f"http://{HOST}:{port}/{path.lstrip('/')}"


def environment(spec: RunSpec, port: int, *, temporary: Path, search_path: str) -> dict[str, str]:
    """Nothing of the platform's own environment: a base, then the server's own variables.

    PORT and HOST are the platform's to give: they have to fit the endpoint.
    """
    directory = prepared_directory(spec)
    base = {
        "PATH": ":".join([*_own_programs(directory), search_path]),
        "HOME": str(directory / "home"),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",  # or the last lines before a crash would never be written
    }
    address = {"PORT": str(port), "HOST": HOST} if spec.transport == "streamable-http" else {}
    return {**base, **spec.environment, **address}


def resource_limits(limits: Limits) -> dict[str, int]:
    wanted = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": OPEN_FILES}
    if limits.memory_mb:
        wanted["RLIMIT_DATA"] = (limits.memory_mb + DATA_HEADROOM_MB) * MIB
    if limits.pids:
        wanted["RLIMIT_NPROC"] = limits.pids * PIDS_FACTOR
    return wanted


def _own_programs(directory: Path) -> list[str]:
    """As `environment.bin_directories` finds them: there are those that the server was installed with."""
    places = ("venv/bin", "tools/bin", "app/node_modules/.bin", "tree/node_modules/.bin")
    return [str(directory / place) for place in places]
