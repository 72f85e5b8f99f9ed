"""Keeps the output of a server in files, which stay when the platform ends, and reads it from them in pieces.

The server appends to a file that it holds open. To rename or truncate that file could lose a line that is
written at the same moment. So the space of lines that were read is freed by punching a hole at the start of
the file (fallocate(2)): offsets do not change, and an offset can be used as a cursor.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20
MAX_LINE_BYTES = 16_384
KEEP_BYTES = 4 << 20  # of disk space that a file may use before the lines that were read are freed
BACKLOG_BYTES = 64 << 20  # of unread output; when there is more, only its last KEEP_BYTES are read
_PUNCH_KEEPING_SIZE = 0x01 | 0x02  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
_BLOCK = 4096


@dataclass(frozen=True)
class Piece:
    """Lines that were read, and the offset of the first byte after them."""

    lines: list[str]
    offset: int


@contextmanager
def appending(out: Path, err: Path) -> Iterator[tuple[int, int]]:
    """Creates the files with mode 0600 and opens them to append: the descriptors of stdout and stderr."""
    with ExitStack() as opened:
        yield _create(out, opened), _create(err, opened)


def _create(path: Path, opened: ExitStack) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    opened.callback(os.close, descriptor)
    return descriptor


def has_changed(path: str, offset: int) -> bool:
    """Whether `read` goes on from `offset`: to later bytes, or back to the end of a file that was cut. A
    file that does not exist has neither.
    """
    try:
        return os.stat(path).st_size != offset
    except FileNotFoundError:
        return False


def read(path: Path, offset: int, *, ended: bool) -> Piece:
    """Lines from `offset` on, at most CHUNK_BYTES; an unfinished last line only when the run has `ended`."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return Piece([], offset)
    try:
        return _read(descriptor, offset, ended)
    finally:
        os.close(descriptor)


def _read(descriptor: int, offset: int, ended: bool) -> Piece:
    state = os.fstat(descriptor)
    start, notes = _bounded(descriptor, offset, state.st_size)
    if state.st_blocks * 512 > KEEP_BYTES:
        _give_back(descriptor, start)
    data = os.pread(descriptor, CHUNK_BYTES, start)
    whole = data if ended and start + len(data) >= state.st_size else _complete(data)
    return Piece(notes + _lines(whole), start + len(whole))


def _bounded(descriptor: int, offset: int, size: int) -> tuple[int, list[str]]:
    """The offset to read from, and notes on lost output. It skips freed space and a too long backlog."""
    start = _first_data(descriptor, offset, size)
    if size - start <= BACKLOG_BYTES:
        return start, []
    return size - KEEP_BYTES, [
        f"[{size - KEEP_BYTES - start} bytes of output were dropped: too much at once]"
    ]


def _first_data(descriptor: int, offset: int, size: int) -> int:
    try:
        return os.lseek(descriptor, min(offset, size), os.SEEK_DATA)
    except OSError:  # ENXIO: there is no data up to the end
        return min(offset, size)


def _complete(data: bytes) -> bytes:
    """The data without an unfinished last line, unless that line is too long to wait for its end."""
    end = data.rfind(b"\n") + 1
    return data if len(data) - end > MAX_LINE_BYTES else data[:end]


def _lines(data: bytes) -> list[str]:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [clean(line[at : at + MAX_LINE_BYTES]) for line in lines for at in _starts(line)]


def _starts(line: bytes) -> range:
    return range(0, max(len(line), 1), MAX_LINE_BYTES)


def clean(line: bytes) -> str:
    """The line as text without NUL. Of a line that a carriage return has overwritten, only the last part."""
    return line.decode("utf-8", "replace").rstrip("\r\n").rsplit("\r", 1)[-1].replace("\x00", "")


def _give_back(descriptor: int, end: int) -> None:
    """Frees the blocks before `end`. A file system without holes keeps them, which only costs space."""
    length = end - end % _BLOCK
    fallocate = getattr(ctypes.CDLL(None), "fallocate", None)  # of glibc and musl
    if length and fallocate:
        fallocate(descriptor, _PUNCH_KEEPING_SIZE, ctypes.c_int64(0), ctypes.c_int64(length))
