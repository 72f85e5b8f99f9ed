"""Becomes the command given in argv, first asking the kernel to end it when the bridge dies.

Run as a program of its own between the bridge and the server: setting this in a `preexec_fn` would run
Python between fork and exec, which is not safe beside threads.
"""

import ctypes
import os
import signal
import sys
from typing import List

PR_SET_PDEATHSIG = 1
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # as a shell reports them


def die_with(parent: int) -> None:
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


def _missing(command: str) -> str:
    """The kernel says the same of a program that is there, but not what is to run it (execve(2), ENOENT)."""
    if "/" in command and os.path.exists(command):
        return f"cannot start {command}: it is there, but the interpreter or the loader that it names is not"
    return f"command not found: {command}"


def main(argv: List[str]) -> int:
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
