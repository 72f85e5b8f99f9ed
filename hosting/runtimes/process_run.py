"""One run of the process runtime: what its handle keeps, its files, and how it is found again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import psutil

from hosting.runtimes import process_limits, process_table
from hosting.runtimes.base import Handle, Limits, Stray
from hosting.runtimes.process_limits import Excess
from hosting.runtimes.process_table import Mark

NAME = "process"
STATE_VARIABLE = "MCPHOST_STATE"


@dataclass(frozen=True)
class Run:
    """A handle's `data`. `create_time` is psutil's; `memory_mb` and `pids` are limits that `poll` enforces.

    `token` names the run among others of the same deployment; its files bear it too.
    """

    port: int
    directory: str
    token: str
    memory_mb: int = 0
    pids: int = 0
    pid: int = 0
    create_time: float = 0.0

    def led_by(self, process: psutil.Process) -> Run:
        return replace(self, pid=process.pid, create_time=process.create_time())

    def handle(self, endpoint: str) -> Handle:
        return Handle(NAME, endpoint, asdict(self))

    def environment(self, mark: Mark, endpoint: str, run_id: int) -> dict[str, str]:
        """What each process of the run carries, so that it is found though no row knows it (a platform killed
        between start and save)."""
        state = json.dumps({"endpoint": endpoint, "data": asdict(self), "run": run_id})
        return {process_table.VARIABLE: str(mark), STATE_VARIABLE: state}

    @property
    def who(self) -> tuple[int, float, str]:
        return self.pid, self.create_time, self.token

    def alive(self) -> bool:
        return process_table.is_alive(self.pid, self.create_time)

    def file(self, suffix: str) -> Path:
        """`out` and `err` hold what was written, `exit` the exit code."""
        return Path(self.directory) / "log" / f"{self.token}.{suffix}"

    @property
    def temporary(self) -> Path:
        return Path(self.directory) / "tmp" / self.token

    def family(self) -> list[psutil.Process]:
        return process_table.family(self.pid, self.create_time)

    def excess(self) -> Excess | None:
        return process_limits.excess(self.pid, self.family(), memory_mb=self.memory_mb, pids=self.pids)

    def exit_code(self) -> int | None:
        """None: the platform that started it was gone when it ended."""
        try:
            return int(self.file("exit").read_text())
        except (OSError, ValueError):
            return None

    def note_exit(self, child: subprocess.Popen[bytes]) -> None:
        """Waits for the run, so that it leaves no zombie, and keeps its exit code for whoever asks."""
        code = child.wait()
        try:
            self.file("exit").write_text(str(code))
        except OSError:  # the directory was removed meanwhile: nobody will ask
            return

    def prepare(self) -> None:
        for folder in (Path(self.directory) / "home", self.temporary):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._forget_older_output()

    def _forget_older_output(self) -> None:
        """Removes what earlier runs in this directory wrote, but for the last of them."""
        tokens = {path.stem: path.stat().st_mtime for path in self.file("out").parent.glob("*.out")}
        for token in sorted(tokens, key=lambda each: tokens[each])[:-1]:
            older = replace(self, token=token)
            for suffix in ("out", "err", "exit"):
                older.file(suffix).unlink(missing_ok=True)


def strays(root: str) -> list[Stray]:
    """Every run under `root` that has a living process; its first process stands for it."""
    first: dict[str, tuple[Mark, psutil.Process]] = {}
    for mark, process in sorted(process_table.marked(root), key=lambda each: each[1].create_time()):
        first.setdefault(mark.token, (mark, process))
    found = (_stray(mark, process) for mark, process in first.values())
    return [stray for stray in found if stray]


def _stray(mark: Mark, process: psutil.Process) -> Stray | None:
    try:
        state = json.loads(process.environ()[STATE_VARIABLE])
        handle = _run(state["data"]).led_by(process).handle(str(state["endpoint"]))
        return Stray(mark.server_id, mark.deployment_id, handle, int(state.get("run", 0)))
    except (psutil.Error, KeyError, ValueError, TypeError):
        return None


def of(handle: Handle) -> Run:
    return _run(handle.data)


def _run(data: Mapping[str, Any]) -> Run:
    """Of the fields that are known: another version of the platform may have saved more."""
    return Run(**{each.name: data[each.name] for each in fields(Run) if each.name in data})


def planned(port: int, directory: Path, token: str, limits: Limits) -> Run:
    return Run(port, str(directory), token, limits.memory_mb, limits.pids)
