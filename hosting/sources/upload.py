"""Unpacks an uploaded archive (tar, tar.gz, zip) that may be hostile."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from hosting.deadline import Deadline
from hosting.errors import SourceError
from hosting.process_group import LineSink
from hosting.sources import git_lfs, subdirectory
from hosting.sources.base import BuildContext
from hosting.sources.git_errors import no_space
from registry.reasons import is_full

CHUNK = 1 << 20
MAX_DIRECTORY = 8 * CHUNK  # bytes of a zip's directory: enough for 50,000 names of usual length
LITTER = ("__MACOSX", ".DS_Store")
NOT_AN_ARCHIVE = "The upload is not a tar, tar.gz or zip archive, or it is damaged."
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression method that zipfile does not know
    UnicodeDecodeError,  # a name that says it is UTF-8
    IndexError,  # a name that is empty
)


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits of what is unpacked.

    `ratio` bounds unpacked bytes per packed byte. It counts only above `ratio_from` bytes, because small text
    files compress very well.
    """

    total_bytes: int = 1 << 30
    entries: int = 50_000
    ratio: int = 100
    ratio_from: int = 64 << 20


@dataclass(frozen=True)
class ArchiveSource:
    """An archive on the disk. `name` is its file name as the user uploaded it.

    `subdirectory` is the server's directory, below the archive's single top-level directory if it has one.
    """

    path: Path
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)
    name: str = ""
    subdirectory: str = ""

    def fetch(self, into: Path, *, deadline: Deadline, log: LineSink) -> BuildContext:
        """Unpacks the archive. A single top-level directory becomes the top of the source.

        Raises `SourceError`, `Cancelled`, `TimedOut`.
        """
        self.check()
        into.mkdir(parents=True, exist_ok=True)
        unpacked = _Unpacking(into, self.limits, self.path.stat().st_size, deadline)
        try:
            unpacked.write(entries(self.path, self.limits))
            revision = f"sha256:{_sha256(self.path, deadline)}"
        except DAMAGED as error:
            raise SourceError(NOT_AN_ARCHIVE) from error
        except OSError as error:
            raise _translate(error) from error
        log(f"Unpacked {unpacked.files} files, {unpacked.total} bytes")
        top = _top(into, self.subdirectory)
        path = subdirectory.within(top, self.subdirectory, "archive")
        git_lfs.log_pointers(top, deadline=deadline, log=log)
        return BuildContext(path, revision, self.name or self.path.name, top=top)

    def check(self) -> None:
        """Raises `SourceError` for a subdirectory that leads out of the archive."""
        subdirectory.check(self.subdirectory, "archive")


@dataclass(frozen=True)
class Entry:
    """An entry of an archive.

    `target` is a symlink's text, or the name of the entry that a hardlink repeats.
    """

    name: str
    kind: Literal["file", "directory", "symlink", "hardlink"]
    open: Callable[[], IO[bytes]] = io.BytesIO
    executable: bool = False
    target: str = ""


def entries(path: Path, limits: ArchiveLimits) -> Iterator[Entry]:
    """Yields the entries of a tar, tar.gz or zip. Read each before you ask for the next.

    Raises `SourceError`, and the errors in `DAMAGED`.
    """
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"PK":
        return _zip_entries(path)
    return _tar_entries(path, limits, packed=start == b"\x1f\x8b")


def _zip_entries(path: Path) -> Iterator[Entry]:
    with _ZipFile(path.open("rb", buffering=0)) as raw, zipfile.ZipFile(raw) as archive:
        for info in archive.infolist():
            yield _zip_entry(archive, info)


class _ZipFile(io.BufferedReader):
    """Refuses large reads: zipfile loads a zip's whole directory, which takes many times its
    size in memory.
    """

    def read(self, size: int | None = -1) -> bytes:
        most = MAX_DIRECTORY + 1
        data = super().read(most if size is None or size < 0 else min(size, most))
        if len(data) > MAX_DIRECTORY:
            raise SourceError("The archive holds a directory that is too large.")
        return data


def _zip_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    if info.flag_bits & 1:
        raise SourceError("The archive is encrypted.", hint="Upload it without a password.")
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if info.is_dir():
        return Entry(info.filename, "directory")
    if kind == stat.S_IFLNK:
        with archive.open(info) as content:
            return Entry(info.filename, "symlink", target=os.fsdecode(content.read(4096)))
    if kind not in (0, stat.S_IFREG):
        raise _refused(info.filename, "is a device, a pipe or a socket")
    return Entry(info.filename, "file", lambda: archive.open(info), bool(mode & 0o100))


def _tar_entries(path: Path, limits: ArchiveLimits, *, packed: bool) -> Iterator[Entry]:
    with path.open("rb") as raw:
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
        guarded = _Guarded(stream, limits.total_bytes)
        with tarfile.open(fileobj=guarded, mode="r:") as archive:  # type: ignore[call-overload]
            for member in archive:
                yield _tar_entry(archive, member)


def _tar_entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    if member.isdir():
        return Entry(member.name, "directory")
    if member.issym():
        return Entry(member.name, "symlink", target=member.linkname)
    if member.islnk():
        return Entry(member.name, "hardlink", target=member.linkname)
    if not member.isreg():
        raise _refused(member.name, "is a device, a pipe or a socket")
    return Entry(member.name, "file", lambda: _opened(archive, member), bool(member.mode & 0o100))


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return archive.extractfile(member) or io.BytesIO()


class _Guarded:
    """A tar stream that raises past a limit: the headers of a tar can be a compression bomb, too."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit = stream, limit + (limit >> 2) + CHUNK

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > 16 * CHUNK:
            raise SourceError("The archive holds a header that is too large.")
        data = self._stream.read(size)
        self._check(self._stream.tell())
        return data

    def seek(self, position: int) -> int:
        self._check(position)
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise _too_large(self._limit)


class _Unpacking:
    """Writes entries below `into`. Symlinks are made last, so that no file is written through a symlink."""

    def __init__(self, into: Path, limits: ArchiveLimits, packed_bytes: int, deadline: Deadline) -> None:
        self.into, self.limits, self.packed_bytes, self.deadline = into, limits, packed_bytes, deadline
        self.total = self.files = self.entries = 0

    def write(self, entries: Iterator[Entry]) -> None:
        symlinks = [entry for entry in entries if self._write_now(entry)]
        made = [self._link(entry) for entry in symlinks]
        for path in made:
            self._check_inside(path)
        if not self.files:
            raise SourceError("The archive holds no files.")

    def _write_now(self, entry: Entry) -> bool:
        """Writes `entry`; returns True for a symlink, which the caller makes later."""
        self._count(entry)
        target = self._target(entry.name)
        if target is None or entry.kind == "symlink":
            return target is not None
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind == "directory":
            target.mkdir(exist_ok=True)
        elif entry.kind == "hardlink":
            self._copy_of(entry, target)
        else:
            self._file(entry, target)
        return False

    def _count(self, entry: Entry) -> None:
        self.deadline.check()
        self.entries += 1
        if self.entries > self.limits.entries:
            raise SourceError(f"The archive holds more than {self.limits.entries} entries.")
        if "\x00" in entry.name:
            raise _refused(entry.name, "has a name that no file can have")

    def _target(self, name: str) -> Path | None:
        """Returns the path for `name`, None for a file to leave out.

        Raises `SourceError` for a path out of `into`.
        """
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or "\\" in name or name[1:2] == ":":
            raise _refused(name, "leads out of the archive")
        if not pure.parts or pure.parts[0] in LITTER or pure.name in LITTER:
            return None
        return self.into / pure

    def _file(self, entry: Entry, target: Path) -> None:
        with entry.open() as content:
            self._write_content(content, target, 0o755 if entry.executable else 0o644)

    def _copy_of(self, entry: Entry, target: Path) -> None:
        other = self._target(entry.target)
        if not other or not other.is_file() or other == target:
            raise _refused(entry.name, "is a link to what the archive does not hold")
        with other.open("rb") as content:
            self._write_content(content, target, other.stat().st_mode & 0o777)

    def _write_content(self, content: IO[bytes], target: Path, mode: int) -> None:
        self.files += 1
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            while chunk := content.read(CHUNK):
                self._count_bytes(len(chunk))
                file.write(chunk)

    def _count_bytes(self, count: int) -> None:
        self.deadline.check()
        self.total += count
        if self.total > self.limits.total_bytes:
            raise _too_large(self.limits.total_bytes)
        if self.total > self.limits.ratio_from and self.total > self.packed_bytes * self.limits.ratio:
            raise SourceError(
                f"The archive unpacks to more than {self.limits.ratio} times its size: it looks like a bomb."
            )

    def _link(self, entry: Entry) -> Path:
        path = self.into / PurePosixPath(entry.name)
        if not entry.target or "\x00" in entry.target or os.path.isabs(entry.target):
            raise _refused(entry.name, "is a link that leads out of the archive")
        self._check_inside(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(entry.target)
        return path

    def _check_inside(self, path: Path) -> None:
        if not Path(os.path.realpath(path)).is_relative_to(self.into.resolve()):
            raise _refused(path.relative_to(self.into).as_posix(), "is a link that leads out of the archive")


def _top(into: Path, wanted: str) -> Path:
    """Returns the single top-level directory if there is one, else `into`.

    It also returns `into` where `wanted` begins with that directory's name, and so is counted from above it.
    """
    children = list(into.iterdir())
    if len(children) != 1 or not children[0].is_dir() or children[0].is_symlink():
        return into.resolve()
    named_whole = PurePosixPath(wanted).parts[:1] == (children[0].name,)
    if named_whole and not (children[0] / wanted).is_dir():
        return into.resolve()
    return children[0].resolve()


def _sha256(path: Path, deadline: Deadline) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            deadline.check()
            digest.update(chunk)
    return digest.hexdigest()


def _refused(name: str, why: str) -> SourceError:
    shown = name.encode("utf-8", "replace").decode()
    return SourceError(f"The archive was refused: “{shown}” {why}.")


def _too_large(limit: int) -> SourceError:
    return SourceError(f"The archive unpacks to more than {limit >> 20} MiB.")


def _translate(error: OSError) -> SourceError:
    if is_full(error):
        return no_space("unpacking the archive")
    return SourceError(f"The archive could not be unpacked: {error.strerror or NOT_AN_ARCHIVE}.")
