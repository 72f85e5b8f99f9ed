"""Copies this Python so that the copy runs in any Linux image, with any C library or none.

A stage of a build runs it with the Python to copy: `python3 portable.py BRIDGE INTO`. It needs only the
standard library of Python 3.9 or later. INTO gets `ld` (the dynamic loader), `libs/`, `bin/python3` and the
standard library. The copy is started so:

    INTO/ld --library-path INTO/libs INTO/bin/python3 -I -S …

Since the loader is started by its path, it reads neither /lib nor ld.so.cache of the image (ld.so(8)). The
path of the libraries is an option and no variable, because programs that the server starts would inherit a
variable.
"""

from __future__ import annotations

import importlib
import os
import py_compile
import re
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

NEEDED = ("bridge.cli", "ctypes", "encodings.idna", "locale", "stringprep", "traceback", "unicodedata")
LEFT_OUT = ("test", "tests", "__pycache__", "idle_test")
ELF = b"\x7fELF"
INTERPRETER = 3  # PT_INTERP, elf(5)


def main(bridge: Path, into: Path) -> None:
    """Imports what the bridge imports, then copies Python and all that is loaded to `into`."""
    sys.path.insert(0, str(bridge.parent))
    for name in NEEDED:
        importlib.import_module(name)
    program = Path(os.path.realpath(sys.executable))
    loader = interpreter_of(program)
    if not loader:
        sys.exit(f"{program} is not linked dynamically: it cannot be carried into another image.")
    standard = Path(os.__file__).parent
    target = into / sys.platlibdir / standard.name
    _copy_standard(standard, target)
    _copy(program, into / "bin/python3", 0o755)
    _copy(Path(loader), into / "ld", 0o755)
    for library in loaded():
        if library != program and standard not in library.parents:
            _copy(library, into / "libs" / library.name, 0o644)
            for name in _other_names(library):
                (into / "libs" / name).symlink_to(library.name)
    _open_to_all(into)


def interpreter_of(program: Path) -> str:
    """The path of the dynamic loader in a 64-bit little-endian ELF file (PT_INTERP, elf(5)); "" for none."""
    with program.open("rb") as file:
        head = file.read(64)
        if head[:6] != ELF + b"\x02\x01":
            return ""
        (start,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        for number in range(count):
            file.seek(start + number * size)
            kind, _, offset, _, _, length = struct.unpack("<IIQQQQ", file.read(40))
            if kind == INTERPRETER:
                file.seek(offset)
                return file.read(length).rstrip(b"\0").decode()
    return ""


def loaded() -> Iterator[Path]:
    """The ELF files that this process has mapped. After the imports, these are all that the bridge needs."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    # address, permissions, offset, device, inode, path: proc_pid_maps(5)
    paths = dict.fromkeys(words[5] for line in lines if len(words := line.split(None, 5)) == 6)
    for path in map(Path, paths):
        if path.is_file() and _starts_with(path, ELF):
            yield path


def _other_names(path: Path) -> list[str]:
    """The names of links to a library: programs ask for its soname, which is often a link to the file."""
    start = re.split(r"[-.]", path.name)[0]
    beside = path.parent.glob(f"{start}*.so*")
    return [each.name for each in beside if each.is_symlink() and os.path.realpath(each) == str(path)]


def _starts_with(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


def _copy(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _copy_standard(standard: Path, target: Path) -> None:
    """Copies the modules of the standard library that were imported. A package is copied whole, because parts
    of it are imported later.

    It also compiles them to bytecode, which Python uses without a check of the file's time: the image may be
    read-only.
    """
    for top in {path.relative_to(standard).parts[0] for path in _imported(standard)} - {"site-packages"}:
        if top == "lib-dynload":
            continue
        if (standard / top).is_dir():
            shutil.copytree(standard / top, target / top, ignore=shutil.ignore_patterns(*LEFT_OUT))
        else:
            _copy(standard / top, target / top, 0o644)
    for path in _imported(standard):
        copied = target / path.relative_to(standard)
        if path.suffix == ".py":
            py_compile.compile(str(copied), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        elif not copied.exists():
            _copy(path, copied, 0o644)
    (target / "lib-dynload").mkdir(exist_ok=True)  # by it the interpreter finds its standard library


def _imported(standard: Path) -> list[Path]:
    files = (Path(getattr(module, "__file__", None) or "/") for module in list(sys.modules.values()))
    return [file for file in files if standard in file.parents]


def _open_to_all(into: Path) -> None:
    for directory, _, files in os.walk(into):
        Path(directory).chmod(0o755)
        for path in (Path(directory, name) for name in files):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o444)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
