"""Runs a command as a process group of its own. The whole group ends at the deadline, on a cancel, and when
the platform dies.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hosting.deadline import Deadline

GUARD = Path(__file__).with_name("guard.py")
LineSink = Callable[[str], None]
POLL_SECONDS = 0.2
GRACE_SECONDS = 5.0
MAX_LINE_BYTES = 16_384


def run(
    argv: Sequence[str],
    *,
    deadline: Deadline,
    on_line: LineSink,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Runs `argv`, passes each line of stdout and stderr to `on_line`, and returns the exit code.

    `env` replaces the environment; None passes on the platform's own. Raises `Cancelled` or `TimedOut`, after
    the whole group is gone, and `FileNotFoundError` when the program does not exist.
    """
    _must_exist(argv[0], cwd, env)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", GUARD, *argv],
        cwd=cwd,
        env=dict(env) if env is not None else None,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        _pump(process, deadline, on_line)
        return process.wait()
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[bytes], grace: float = GRACE_SECONDS) -> None:
    """Ends the group that `process` leads: SIGTERM, then SIGKILL after `grace` seconds."""
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


def _must_exist(program: str, cwd: Path | None, env: Mapping[str, str] | None) -> None:
    path = os.environ.get("PATH") if env is None else env.get("PATH", os.defpath)
    if not shutil.which(str((cwd or Path()) / program) if "/" in program else program, path=path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _pump(process: subprocess.Popen[bytes], deadline: Deadline, on_line: LineSink) -> None:
    assert process.stdout
    os.set_blocking(process.stdout.fileno(), False)
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            deadline.check()
            # This comes before the select: output between an empty select and the exit would be lost.
            has_ended = process.poll() is not None
            # A grandchild may keep the pipe open after the command itself is done.
            if not selector.select(POLL_SECONDS):
                if has_ended:
                    break
                continue
            chunk = process.stdout.read(65_536)
            if not chunk:
                break
            pending = _emit_lines(pending + chunk, on_line)
    if pending:
        on_line(_text(pending))


def _emit_lines(data: bytes, on_line: LineSink) -> bytes:
    *lines, rest = data.split(b"\n")
    for line in lines:
        on_line(_text(line))
    if len(rest) > MAX_LINE_BYTES:
        on_line(_text(rest))
        return b""
    return rest


def _text(line: bytes) -> str:
    # On a terminal a carriage return overwrites the line: the user would see the last part.
    return line.decode("utf-8", "replace").rstrip("\r").rsplit("\r", 1)[-1].replace("\x00", "")
