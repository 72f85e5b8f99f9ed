"""The directory of one run of the bench, and the clearing away of runs that were killed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from .requirement import BenchError, program

PREFIX = "mcphost-bench-"
LOCK = "owner.lock"
UNDO = "undo.json"
CGROUPS = Path("/sys/fs/cgroup")
_PORTS = range(20_000, 32_000)  # below those that the kernel gives to connections and to port 0


class Workspace:
    """A private directory whose lock lasts as long as its owner lives.

    Daemons started in it carry its path in their arguments, which is how `dispose` knows them again.
    """

    def __init__(self) -> None:
        sweep()
        # The name serves as a containerd namespace too, which takes fewer characters than mkdtemp gives.
        self.path = Path(tempfile.gettempdir()) / f"{PREFIX}{secrets.token_hex(4)}"
        self.path.mkdir()
        self.path.chmod(0o711)  # PostgreSQL runs as another user inside
        self._lock = _hold_lock(self.path)
        self._daemons: list[Daemon] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def directory(self, name: str) -> Path:
        """A new directory below the workspace, `name-1`, `name-2`, …"""
        number = 1 + sum(1 for _ in self.path.glob(f"{name}-*"))
        made = self.path / f"{name}-{number}"
        made.mkdir()
        return made

    def start(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        ready: Callable[[], bool],
        seconds: float = 60,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> Daemon:
        """Start a daemon, wait until `ready()`; raises BenchError with its last lines if it ends first."""
        daemon = Daemon(argv, log, stop_signal)
        self._daemons.append(daemon)
        daemon.wait_until(ready, seconds)
        return daemon

    def undo_later(self, command: Sequence[str]) -> None:
        """Keep on disk a command that takes back a change to the machine, for close or a later sweep."""
        path = self.path / UNDO
        commands = json.loads(path.read_text()) if path.exists() else []
        path.write_text(json.dumps([*commands, list(command)]))

    def close(self) -> None:
        _kill(_pids_in_cgroups(self.path.name))  # an engine gives each container 10 s to end by itself
        for daemon in reversed(self._daemons):
            daemon.stop()
        dispose(self.path)
        self._lock.close()


class Daemon:
    """A process of the bench: its own session, its log in a file; it ends with its owner."""

    def __init__(self, argv: Sequence[str], log: Path, stop_signal: signal.Signals) -> None:
        self.argv, self.log, self._stop_signal = list(argv), log, stop_signal
        parent_death = ["--pdeathsig", stop_signal.name.removeprefix("SIG")]
        self._command = [program("setpriv"), *parent_death, "--", *argv]
        self._process = self._begun()

    def _begun(self) -> subprocess.Popen[bytes]:
        # The signal of a parent's death comes when the *thread* ends that started the process (prctl(2)).
        if threading.current_thread() is not threading.main_thread():
            raise BenchError(f"{self.argv[0]} would end with this thread: start it from the main one")
        with self.log.open("ab") as output:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_again(self) -> None:
        """After `stop`, as it was started; does not wait until it is ready."""
        self._process = self._begun()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise BenchError(f"{self.argv[0]} did not start:\n{_tail(self.log)}")
            time.sleep(0.05)

    def stop(self, seconds: float = 30) -> None:
        if self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """One that the kernel gives to nobody by itself: it stays free until its daemon takes it."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise BenchError("no port is free on loopback")


def sweep() -> None:
    """Dispose of the workspaces of this user whose owner no longer lives."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if held := _given_up(path / LOCK):
            with held:
                dispose(path)


def _given_up(lock: Path) -> IO[bytes] | None:
    """The lock, held now; None where its owner lives, has not made it yet, or is just removing it."""
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        held = stack.enter_context(lock.open("rb"))
        if os.fstat(held.fileno()).st_uid == os.geteuid():
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stack.pop_all()
            return held
    return None


def dispose(path: Path) -> None:
    """End every process of a workspace, take back its changes to the machine, remove it."""
    _kill_all(path.name)
    _unmount_below(path)
    _undo(path)
    _remove_cgroups(path.name)
    shutil.rmtree(path, ignore_errors=True)


def _hold_lock(directory: Path) -> IO[bytes]:
    """The lock appears under its name only once it is held: a sweep at the same moment finds no free lock."""
    unnamed = directory / f"{LOCK}.new"
    lock = unnamed.open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    unnamed.rename(directory / LOCK)
    return lock


def _kill_all(token: str) -> None:
    for _ in range(50):  # children may appear while their parents end
        pids = {*_pids_naming(token), *_pids_in_cgroups(token)} - {os.getpid()}
        if not pids:
            return
        _kill(pids)
        time.sleep(0.05)


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _pids_naming(token: str) -> set[int]:
    """Processes with the workspace's (random) name in their arguments, like dockerd, containerd and shims."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if token.encode() in entry.read_bytes():
                found.add(int(entry.parent.name))
        except OSError:
            continue
    return found


def _pids_in_cgroups(token: str) -> set[int]:
    """What containers left running: they sit in the cgroup that the engine was given."""
    pids: set[int] = set()
    for group in _cgroups(token):
        for tasks in group.rglob("cgroup.procs"):
            try:
                pids.update(int(line) for line in tasks.read_text().split())
            except OSError:
                continue
    return pids


def _cgroups(token: str) -> list[Path]:
    return [*CGROUPS.glob(token), *CGROUPS.glob(f"*/{token}")]


def _remove_cgroups(token: str) -> None:
    for group in _cgroups(token):
        for directory, _, _ in os.walk(group, topdown=False):
            try:
                Path(directory).rmdir()
            except OSError:
                continue


def _unmount_below(path: Path) -> None:
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in sorted((p for p in points if p.startswith(f"{path}/")), reverse=True):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)


def _undo(path: Path) -> None:
    record = path / UNDO
    if record.exists():
        for command in reversed(json.loads(record.read_text())):
            subprocess.run(command, check=False, capture_output=True)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
