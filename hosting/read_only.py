"""Recognises a server that failed because it wrote to the read-only file system of its container."""

from __future__ import annotations

import re

from hosting.runtimes.base import Volume
from hosting.runtimes.docker_spec import TMP, TMP_MB

# EROFS of errno(3) in the words of libc, Go, Node, the JVM and SQLite.
SAID = re.compile(
    r"read-?only file ?system|\bEROFS\b|\[Errno 30\]|os error 30\b|attempt to write a readonly database"
    r"|unable to open database file",
    re.IGNORECASE,
)


def hint(said: str, volume: Volume | None = None) -> str:
    """What the user can do, as sentences, where `said` (the last output of a run) shows such a refused write;
    "" where it does not. `volume` is the server's own storage.
    """
    if not SAID.search(said):
        return ""
    kept = f", and {volume.path}, which is kept," if volume else ""
    return (
        "By rule of the platform the files of a container are read-only, its working directory too: only "
        f"{TMP} ({TMP_MB} MB, empty at each start){kept} can be written to. Have the server write there: "
        "most take the place from an environment variable or an argument."
    )
