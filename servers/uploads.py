"""Uploaded archives, kept under their content's name in DATA_DIR/uploads/<server id>/."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from servers.errors import Invalid, SourceError
from servers.models import Server

YOUNG_SECONDS = 3600
ENDINGS = {".tar.gz": "tar.gz", ".tgz": "tar.gz", ".tar": "tar", ".zip": "zip"}


class TooLarge(Invalid):
    """More bytes than UPLOAD_MAX_BYTES (HTTP 413)."""


@dataclass(frozen=True)
class Archive:
    """Bytes that have arrived, not yet anybody's: `keep` gives them to a server."""

    path: Path
    filename: str
    sha256: str
    size: int

    @property
    def source(self) -> dict[str, Any]:
        """What `Server.source` holds: `archive` is a file name in the server's own directory."""
        name = f"{self.sha256}.{_ending(self.filename)}"
        return {"archive": name, "filename": self.filename, "sha256": self.sha256, "size": self.size}

    def keep(self, server_id: int) -> None:
        target = directory(server_id)
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.replace(self.path, target / self.source["archive"])


@contextmanager
def received(chunks: Iterable[bytes], filename: str) -> Iterator[Archive]:
    """The archive on disk; gone at the end of the block unless it was kept. Raises `Invalid`, `TooLarge`."""
    filename = Path(filename).name[-200:]
    _ending(filename)
    incoming = _incoming()
    incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=incoming, delete=False) as file:
        path = Path(file.name)
        try:
            sha256, size = _write(chunks, file)
            file.close()
            yield Archive(path, filename, sha256, size)
        finally:
            path.unlink(missing_ok=True)


def directory(server_id: int) -> Path:
    return _root() / str(server_id)


def path_of(server: Server) -> Path:
    """Where the archive of an upload source lies."""
    return directory(server.pk) / Path(server.source["archive"]).name


def path_of_revision(server: Server, revision: str) -> Path:
    """The archive that an earlier deployment was made of: its revision is the content's digest.

    Raises `SourceError` where it is gone.
    """
    found = sorted(directory(server.pk).glob(f"{revision.removeprefix('sha256:')}.*"))
    if not found:
        raise SourceError(
            "The archive of that deployment is gone.",
            hint="Redeploy with mode latest, from the newest archive.",
        )
    return found[0]


def keep_only(server: Server, revisions: set[str]) -> None:
    """Removes archives that neither the source nor a deployment with one of `revisions` is made of.

    A young one may be about to become the source.
    """
    wanted = {revision.removeprefix("sha256:") for revision in revisions} | {server.source.get("sha256", "")}
    for path in directory(server.pk).glob("*.*"):
        young = time.time() - path.stat().st_mtime < YOUNG_SECONDS
        if path.name.partition(".")[0] not in wanted and not young:
            path.unlink(missing_ok=True)


def forget_abandoned() -> None:
    """What a platform was receiving when it was killed. Of one that arrives, the file is a young one."""
    for path in _incoming().glob("*"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > YOUNG_SECONDS:
                path.unlink()


def remove(server_id: int) -> None:
    """Takes every archive of a server away."""
    shutil.rmtree(directory(server_id), ignore_errors=True)


def too_large() -> TooLarge:
    limit = settings.UPLOAD_MAX_BYTES
    return TooLarge(f"The archive is larger than UPLOAD_MAX_BYTES allows: {limit} bytes.", field="archive")


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
