"""Starts a program that cannot see changes of the machine's networks: `python still.py PROGRAM [ARGUMENT …]`.

Chromium drops each request under way (`ERR_NETWORK_CHANGED`) when any interface gets an address, as happens
whenever an engine or a network of containers starts beside it. Without netlink it takes the network as it is.
Linux on x86-64 and arm64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys
from pathlib import Path

SOCKET_CALL = {"x86_64": 41, "aarch64": 198}
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2  # <linux/prctl.h>
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # <linux/bpf_common.h>
ALLOW, FAIL_WITH = 0x7FFF0000, 0x00050000  # <linux/seccomp.h>
CALL, FIRST_ARGUMENT = 0, 16  # where they are in struct seccomp_data


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def starter(path: Path, program: str) -> Path:
    """Makes `path` a script that starts the program so, for those who take a path and no more."""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "{program}" "$@"\n')
    path.chmod(0o700)
    return path


def refuse_netlink() -> None:
    """For this process and all that it starts. Raises `OSError`."""
    steps = (
        (LOAD, 0, 0, CALL),
        (IF_EQUAL, 0, 3, SOCKET_CALL[platform.machine()]),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (IF_EQUAL, 0, 1, socket.AF_NETLINK),
        (RETURN, 0, 0, FAIL_WITH | errno.EAFNOSUPPORT),
        (RETURN, 0, 0, ALLOW),
    )
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = Program(len(steps), code)
    _prctl(NO_NEW_PRIVILEGES, 1, 0)
    _prctl(SECCOMP, FILTER, ctypes.byref(program))


def _prctl(option: int, value: int, pointer: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), pointer, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    refuse_netlink()
    os.execvp(sys.argv[1], sys.argv[1:])
