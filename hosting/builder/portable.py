"""Makes a copy of this Python that runs in any Linux image, whatever C library that has, or none.

Run in a stage of a build, by the Python that is copied: `python3 portable.py BRIDGE INTO`. It needs the
standard library of Python 3.9 or newer. INTO gets `ld` (the dynamic loader), `libs/`, `bin/python3` and that
library:

    INTO/ld --library-path INTO/libs INTO/bin/python3 -I -S …

The loader is named, so neither /lib nor an ld.so.cache of the image is looked at, and the way to the
libraries is in no variable that a program started from there would inherit (ld.so(8)).
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
    """The dynamic loader that a 64-bit little-endian ELF file asks for; "" for none."""
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
    """The ELF files that this process has mapped: by now all that the bridge needs."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    # address, permissions, offset, device, inode, path: proc_pid_maps(5)
    paths = dict.fromkeys(words[5] for line in lines if len(words := line.split(None, 5)) == 6)
    for path in map(Path, paths):
        if path.is_file() and _starts_with(path, ELF):
            yield path


def _other_names(path: Path) -> list[str]:
    """A library is asked for by its soname, which may be a link to the file that is mapped."""
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
    """Of the standard library what was imported: a file, or the package whole, as much of it comes late.

    Beside it lies its bytecode, which is taken whatever time the file bears: later none can be written.
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
    (target / "lib-dynload").mkdir(exist_ok=True)  # the interpreter finds its home by it


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
