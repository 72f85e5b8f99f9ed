"""Runs a command and ends it when the platform is gone: `python -I -S guard.py <command…>`.

Standard library only. stdin is a pipe whose other end only the platform holds. When the pipe closes, the
platform has died, for whatever reason, and the guard kills the process group that it leads, the command
included. Otherwise it exits with the exit code or the signal of the command.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

PIPE = 0


def main(command: list[str]) -> int:
    """Exit codes 126 and 127 mean what they mean in POSIX (XCU 2.8.2): not executable, not found."""
    try:
        pid = _spawned(command)
    except OSError as error:
        print(f"{command[0]} cannot be executed: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126
    # SIGTERM to the group is meant for the command. The guard has to live until the command has ended.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_watch, daemon=True).start()
    _, status = os.waitpid(pid, 0)
    return _leave_as(os.waitstatus_to_exitcode(status))


def _spawned(command: list[str]) -> int:
    nothing = (os.POSIX_SPAWN_OPEN, PIPE, os.devnull, os.O_RDONLY, 0)
    # Python ignores these two signals. The command must start with the default actions.
    defaults = (signal.SIGPIPE, signal.SIGXFSZ)
    return os.posix_spawnp(command[0], command, os.environ, file_actions=[nothing], setsigdef=defaults)


def _watch() -> None:
    while os.read(PIPE, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def _leave_as(code: int) -> int:
    if code >= 0:
        return code
    number = signal.Signals(-code)
    if number is not signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
