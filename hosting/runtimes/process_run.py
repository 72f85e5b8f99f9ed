"""One run of the process runtime: the data of its handle, its files, and how it is found again."""

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
from hosting.runtimes.process_snapshot import Snapshot
from hosting.runtimes.process_table import Mark

NAME = "process"
STATE_VARIABLE = "MCPHOST_STATE"


@dataclass(frozen=True)
class Run:
    """The `data` of a handle.

    `directory` is the prepared directory of the deployment. `token` distinguishes the run from others of the
    same deployment, and is part of the names of its files. `pid` and `create_time` (seconds, from psutil)
    identify its first process. `memory_mb` and `pids` are limits that `ProcessRuntime` enforces.
    """

    port: int
    directory: str
    token: str
    memory_mb: int = 0
    pids: int = 0
    pid: int = 0
    create_time: float = 0.0

    def led_by(self, process: psutil.Process) -> Run:
        """The same run with `process` as its first process."""
        return replace(self, pid=process.pid, create_time=process.create_time())

    def handle(self, endpoint: str) -> Handle:
        return Handle(NAME, endpoint, asdict(self))

    def environment(self, mark: Mark, endpoint: str, run_id: int) -> dict[str, str]:
        """Variables for each process of the run. By them the run is found where the database does not know
        it, because the platform was killed between the start and the save.
        """
        state = json.dumps({"endpoint": endpoint, "data": asdict(self), "run": run_id})
        return {process_table.VARIABLE: str(mark), STATE_VARIABLE: state}

    @property
    def identity(self) -> tuple[int, float, str]:
        """The arguments that the functions of `process_table` identify a run by."""
        return self.pid, self.create_time, self.token

    def alive(self) -> bool:
        return process_table.is_alive(self.pid, self.create_time)

    def file(self, suffix: str) -> Path:
        """The file for `out` (stdout), `err` (stderr) or `exit` (the exit code)."""
        return Path(_file(self.directory, self.token, suffix))

    @property
    def temporary(self) -> Path:
        return Path(self.directory) / "tmp" / self.token

    def family(self) -> list[psutil.Process]:
        return process_table.family(self.pid, self.create_time)

    def may_exceed(self, snapshot: Snapshot) -> bool:
        """Whether it may exceed a limit, as far as a snapshot tells."""
        family = snapshot.family(self.pid, self.create_time)
        return process_limits.may_exceed(family, memory_mb=self.memory_mb, pids=self.pids)

    def excess(self) -> Excess | None:
        """The limit that it exceeds now; None where it keeps them."""
        return process_limits.excess(self.pid, self.family(), memory_mb=self.memory_mb, pids=self.pids)

    def exit_code(self) -> int | None:
        """The exit code; None while it runs, and where no platform was there to see its end."""
        try:
            return int(self.file("exit").read_text())
        except (OSError, ValueError):
            return None

    def note_exit(self, child: subprocess.Popen[bytes]) -> None:
        """Waits for the end of the run, so that it leaves no zombie, and writes its exit code to a file."""
        code = child.wait()
        try:
            self.file("exit").write_text(str(code))
        except OSError:  # the directory was removed, so nobody will read it
            return

    def prepare(self) -> None:
        """Creates its directories and removes the output of older runs."""
        for folder in (Path(self.directory) / "home", self.temporary):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._forget_older_output()

    def _forget_older_output(self) -> None:
        """Removes the output of earlier runs in this directory, except that of the latest."""
        tokens = {path.stem: path.stat().st_mtime for path in self.file("out").parent.glob("*.out")}
        for token in sorted(tokens, key=lambda each: tokens[each])[:-1]:
            older = replace(self, token=token)
            for suffix in ("out", "err", "exit"):
                older.file(suffix).unlink(missing_ok=True)


def strays(root: str) -> list[Stray]:
    """Every run under `root` that has a living process. Its oldest process counts as its first."""
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


def output_paths(handle: Handle) -> tuple[str, str]:
    """The files of its stdout and stderr. It is asked each second for every run, so it makes no `Run`."""
    directory, token = handle.data["directory"], handle.data["token"]
    return _file(directory, token, "out"), _file(directory, token, "err")


def _file(directory: str, token: str, suffix: str) -> str:
    return f"{directory}/log/{token}.{suffix}"


def from_handle(handle: Handle) -> Run:
    """The run of a handle of this runtime."""
    return _run(handle.data)


def _run(data: Mapping[str, Any]) -> Run:
    """Ignores unknown fields, which a newer version of the platform may have saved."""
    return Run(**{each.name: data[each.name] for each in fields(Run) if each.name in data})


def planned(port: int, directory: Path, token: str, limits: Limits) -> Run:
    """A run that has no process yet."""
    return Run(port, str(directory), token, limits.memory_mb, limits.pids)
