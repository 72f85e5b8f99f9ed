"""Registers the emulation of linux/arm64 with the kernel, unless it is registered already."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

from .requirement import SEARCHED, BenchError, program

_MOUNT = Path("/proc/sys/fs/binfmt_misc")
_ENTRY = _MOUNT / "qemu-aarch64"


def enable_arm64() -> None:
    """Mount binfmt_misc and register qemu-aarch64; raises BenchError where the kernel or root is lacking."""
    if platform.machine() == "aarch64" or _registered():
        return
    program("qemu-aarch64-static")
    if not (_MOUNT / "register").exists():
        _load()
        subprocess.run(
            ["mount", "-t", "binfmt_misc", "binfmt_misc", str(_MOUNT)], check=False, capture_output=True
        )
    subprocess.run([program("update-binfmts"), "--enable", "qemu-aarch64"], check=False, capture_output=True)
    if not _registered():
        raise BenchError(
            "linux/arm64 can't be emulated: qemu-aarch64 could not be registered (it takes root)"
        )


def _load() -> None:
    """Loads the module binfmt_misc, unless the kernel has it already. Some machines have no modprobe."""
    modprobe = shutil.which("modprobe", path=SEARCHED)
    if modprobe and "binfmt_misc" not in Path("/proc/filesystems").read_text():
        subprocess.run([modprobe, "binfmt_misc"], check=False, capture_output=True)


def _registered() -> bool:
    """Registered with F, so that the interpreter need not be inside an image."""
    if not _ENTRY.exists():
        return False
    flags = next(line for line in _ENTRY.read_text().splitlines() if line.startswith("flags:"))
    return "F" in flags.partition(":")[2]
