"""What a platform costs that nobody calls: CPU of all its processes, with servers that only wait.

    python -m benchmarks.idle [--servers 10] [--seconds 60]

`manage.py up` in one process on SQLite, servers of the process runtime, made of examples/hello. Only
the process of the platform is counted. It begins when the database says that all servers run.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil

from benchmarks.rig import ROOT, free_port

HELLO = ROOT / "examples" / "hello"
SETTLE_SECONDS = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--servers", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mcphost-idle-") as directory:
        os.environ.update(_settings(Path(directory)))
        platform = subprocess.Popen([sys.executable, "/work/tmp/upmon.py"], cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            _await_running(Path(directory), 1, platform)
            archive = _archive(Path(directory))
            for number in range(1, given.servers):
                _deploy(f"idle-{number}", archive)
            _await_running(Path(directory), given.servers, platform)
            time.sleep(SETTLE_SECONDS); open("/work/tmp/go","w").close()
            _measure(platform.pid, given.seconds, given.servers)
        finally:
            platform.terminate()
            platform.wait(60)
    return 0


def _settings(directory: Path) -> dict[str, str]:
    port = str(free_port())
    return {
        "ENV_FILE": str(directory / ".env"),
        "DATA_DIR": str(directory / "data"),
        "BIND_PORT": port,
        "CONTAINER_RUNTIME": "process",
        "LOG_LEVEL": "warning",
    }


def _deploy(slug: str, archive: Path) -> None:
    command = [sys.executable, "manage.py", "deploy", slug, "--archive", str(archive)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _archive(directory: Path) -> Path:
    path = directory / "hello.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for file in HELLO.iterdir():
            if file.is_file():
                tar.add(file, file.name)
    return path


def _await_running(directory: Path, count: int, platform: subprocess.Popen[bytes]) -> None:
    while platform.poll() is None:
        if _running(directory) >= count:
            return
        time.sleep(0.5)
    raise RuntimeError(f"the platform exited with {platform.returncode}")


def _running(directory: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{directory}/data/mcphost.sqlite3?mode=ro", uri=True)) as rows:
            found = rows.execute("SELECT count(*) FROM servers_server WHERE status = 'running'").fetchone()
    except sqlite3.Error:
        return 0
    return int(found[0])


def _measure(pid: int, seconds: float, servers: int) -> None:
    platform = psutil.Process(pid)
    before, began = _cpu(platform), time.monotonic()
    time.sleep(seconds)
    used, took = _cpu(platform) - before, time.monotonic() - began
    print(f"{servers} servers, {took:.0f} s: {100 * used / took:.2f} % of a core")
    for thread in sorted(platform.threads(), key=lambda one: -(one.user_time + one.system_time))[:12]:
        name = Path(f"/proc/{pid}/task/{thread.id}/comm").read_text().strip()
        print(f"  {name:16} {thread.user_time + thread.system_time:8.2f} s since the start")


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    sys.exit(main())
