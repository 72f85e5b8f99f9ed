"""Asks the kernel to kill this process when the bridge dies, and then becomes the command in its arguments.

It is a program of its own between the bridge and the server. A `preexec_fn` would run Python code between
fork and exec, which is not safe in a process with threads.
"""

import ctypes
import os
import signal
import sys
from typing import List

PR_SET_PDEATHSIG = 1
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # POSIX, XCU 2.8.2


def die_with(parent: int) -> None:
    """Asks the kernel for SIGKILL when the process `parent` dies (prctl(2), PR_SET_PDEATHSIG; Linux only)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent died before the call of prctl
        os._exit(1)


def _missing(command: str) -> str:
    """The message for ENOENT, which execve(2) also returns where the interpreter of a program is missing."""
    if "/" in command and os.path.exists(command):
        return f"cannot start {command}: it is there, but the interpreter or the loader that it names is not"
    return f"command not found: {command}"


def main(argv: List[str]) -> int:
    """`argv` is the pid of the bridge and the command. Returns only where the command cannot start."""
    die_with(int(argv[0]))
    try:
        os.execvp(argv[1], argv[1:])  # noqa: S606 (there is no shell, on purpose)
    except FileNotFoundError:
        print(f"bridge: {_missing(argv[1])}", file=sys.stderr)
        return NOT_FOUND
    except OSError as error:
        print(f"bridge: cannot start {argv[1]}: {error.strerror}", file=sys.stderr)
        return NOT_EXECUTABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
