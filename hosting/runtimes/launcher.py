"""Sets resource limits and then becomes a hosted server: `python -I -S launcher.py <limits as JSON> --
<command…>`.

Standard library only. The limits are set here, because a `preexec_fn` is unsafe in a process with threads.
The launcher replaces itself by the server, so it costs no process. The environment is passed on by execve(2)
and never in arguments, which every user of the machine can read.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping, Sequence


def main(arguments: Sequence[str]) -> int:
    """Returns only when the command cannot start: 127 not found, 126 not executable (POSIX, XCU 2.8.2)."""
    limits, separator, *command = arguments
    if separator != "--" or not command:
        return _refuse("no command was given", 127)
    os.umask(0o077)
    set_limits(json.loads(limits))
    try:
        os.execve(command[0], command, os.environ)  # noqa: S606
    except FileNotFoundError:
        return _refuse(f"{command[0]} was not found", 127)
    except OSError as error:
        return _refuse(f"{command[0]} cannot be executed: {error.strerror}", 126)


def set_limits(limits: Mapping[str, int]) -> None:
    """Sets limits by their name in the resource module (RLIMIT_NOFILE; setrlimit(2)). A hard limit is never
    raised: a value above it is lowered to it.
    """
    for name, wanted in limits.items():
        number = getattr(resource, name)
        _, hard = resource.getrlimit(number)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(number, (value, value))


def _refuse(why: str, code: int) -> int:
    print(f"The server could not be started: {why}.", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
