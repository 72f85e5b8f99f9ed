"""Stores uploaded archives in DATA_DIR/uploads/<server id>/, each under the digest of its content."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.template.defaultfilters import filesizeformat

from hosting.errors import Invalid, SourceError
from servers.models import Server

YOUNG_SECONDS = 3600
OF_EARLIER_VERSIONS = "tmp*.upload*"  # what Django left in DATA_DIR itself
ENDINGS = {".tar.gz": "tar.gz", ".tgz": "tar.gz", ".tar": "tar", ".zip": "zip"}


class TooLarge(Invalid):
    """An archive, or all archives of an owner, have more bytes than is allowed (HTTP 413)."""


@dataclass(frozen=True)
class Archive:
    """An uploaded file that no server has yet; `keep` moves it to a server. `size` is in bytes."""

    path: Path
    filename: str
    sha256: str
    size: int

    @property
    def source(self) -> dict[str, Any]:
        """What `Server.source` holds of it. `archive` is the file's name in the server's directory."""
        name = f"{self.sha256}.{_ending(self.filename)}"
        return {"archive": name, "filename": self.filename, "sha256": self.sha256, "size": self.size}

    def keep(self, server: Server) -> None:
        """Moves the file to the server's directory.

        Raises `TooLarge` if its owner would then have more than UPLOADS_PER_PERSON_BYTES.
        """
        target = directory(server.pk) / self.source["archive"]
        if not target.exists():
            check_room(server.owner_id, self.size)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.replace(self.path, target)


@contextmanager
def received(chunks: Iterable[bytes], filename: str) -> Iterator[Archive]:
    """Writes the chunks to disk, and deletes the file after the block unless it was kept.

    Raises `Invalid` if the file is empty or its name has no known ending, and `TooLarge`.
    """
    filename = Path(filename).name[-200:]
    _ending(filename)
    with _arriving() as file:
        path = Path(file.name)
        try:
            sha256, size = _write(chunks, file)
            file.flush()
            yield Archive(path, filename, sha256, size)
        finally:
            path.unlink(missing_ok=True)


def directory(server_id: int) -> Path:
    """Returns the directory of a server's archives."""
    return _root() / str(server_id)


def path_of(server: Server) -> Path:
    """Returns the path of an upload source's archive."""
    return directory(server.pk) / Path(server.source["archive"]).name


def path_of_revision(server: Server, revision: str) -> Path:
    """Returns the archive of an earlier deployment; its revision is the digest of the content.

    Raises `SourceError` if the archive is gone.
    """
    found = sorted(directory(server.pk).glob(f"{revision.removeprefix('sha256:')}.*"))
    if not found:
        raise SourceError(
            "The archive of that deployment is gone.",
            hint="Redeploy with mode latest, from the newest archive.",
        )
    return found[0]


def keep_only(server: Server, revisions: set[str]) -> None:
    """Deletes archives that are neither the source nor that of a deployment with one of `revisions`.

    Archives younger than an hour stay, because one may be about to become the source.
    """
    wanted = {revision.removeprefix("sha256:") for revision in revisions} | {server.source.get("sha256", "")}
    for path in directory(server.pk).glob("*.*"):
        if path.name.partition(".")[0] not in wanted and not _is_young(path):
            path.unlink(missing_ok=True)


def forget_abandoned() -> None:
    """Deletes files that were being received when a platform was killed.

    Files of this machine go at once, because one that is still received is locked. Locks of other machines
    may not be visible here, so their files go after an hour.
    """
    for path in _incoming().glob("*"):
        _forget_abandoned(path)
    left = [path for path in Path(settings.FILE_UPLOAD_TEMP_DIR).glob("*") if not _is_young(path)]
    for path in [*left, *Path(settings.DATA_DIR).glob(OF_EARLIER_VERSIONS)]:
        path.unlink(missing_ok=True)


def kept_by(owner_id: int) -> int:
    """Returns the bytes of all archives of one owner's servers."""
    return sum(
        _size(directory(pk)) for pk in Server.objects.filter(owner=owner_id).values_list("pk", flat=True)
    )


def remove(server_id: int) -> None:
    """Deletes all archives of a server."""
    shutil.rmtree(directory(server_id), ignore_errors=True)


def check_room(owner_id: int, size: int) -> None:
    """Raises `TooLarge` if the owner may not store `size` bytes more."""
    limit, kept = settings.UPLOADS_PER_PERSON_BYTES, kept_by(owner_id)
    if kept + size > limit:
        raise TooLarge(
            f"The archives of this server's owner would take {filesizeformat(kept + size)}, more than "
            f"UPLOADS_PER_PERSON_BYTES allows: {filesizeformat(limit)}. Delete servers that are not needed.",
            field="archive",
        )


def largest() -> int:
    return int(settings.UPLOAD_MAX_BYTES)


def too_large() -> TooLarge:
    """Returns the error for an archive with more than UPLOAD_MAX_BYTES."""
    limit = settings.UPLOAD_MAX_BYTES
    return TooLarge(f"The archive is larger than UPLOAD_MAX_BYTES allows: {limit} bytes.", field="archive")


@contextmanager
def _arriving() -> Iterator[IO[bytes]]:
    """Opens a new file and locks it. If `forget_abandoned` deleted it before the lock, tries again."""
    incoming = _incoming()
    incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        with tempfile.NamedTemporaryFile(dir=incoming, prefix=_of_here(), delete=False) as file:
            with suppress(OSError):  # not every shared volume has locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:
                yield file
                return


def _forget_abandoned(path: Path) -> None:
    """Deletes an abandoned file while it holds the lock, so that `_arriving` sees that the file is gone."""
    with suppress(OSError):
        if not _is_young(path):
            path.unlink()
        elif path.name.startswith(_of_here()):
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _of_here() -> str:
    return f"{socket.gethostname()}-"


def _is_young(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < YOUNG_SECONDS
    except FileNotFoundError:  # it has gone meanwhile
        return True


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.glob("*") if file.is_file())


def _incoming() -> Path:
    return _root() / "incoming"


def _root() -> Path:
    return Path(settings.DATA_DIR) / "uploads"


def _write(chunks: Iterable[bytes], file: IO[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        size += len(chunk)
        if size > settings.UPLOAD_MAX_BYTES:
            raise too_large()
        digest.update(chunk)
        file.write(chunk)
    if not size:
        raise Invalid("The archive is empty.", field="archive")
    return digest.hexdigest(), size


def _ending(filename: str) -> str:
    for suffix, ending in ENDINGS.items():
        if filename.lower().endswith(suffix):
            return ending
    raise Invalid("Upload an archive that ends in .tar.gz, .tgz, .tar or .zip.", field="archive")
