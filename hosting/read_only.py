"""A program that fails because it wrote where nothing can be written: the platform's rule, said by name."""

from __future__ import annotations

import re

from hosting.runtimes.base import Volume
from hosting.runtimes.docker_spec import TMP, TMP_MB

# errno(3) EROFS as libc, Go, Node and the JVM say it, and what SQLite makes of it.
SAID = re.compile(
    r"read-?only file ?system|\bEROFS\b|\[Errno 30\]|os error 30\b|attempt to write a readonly database"
    r"|unable to open database file",
    re.IGNORECASE,
)


def hint(said: str, volume: Volume | None = None) -> str:
    """What to do where `said`, a run's last words, tell of a write that was refused so; "" elsewhere.

    `volume` is the storage that the server has of its own.
    """
    if not SAID.search(said):
        return ""
    kept = f", and {volume.path}, which is kept," if volume else ""
    return (
        "By rule of the platform the files of a container are read-only, its working directory too: only "
        f"{TMP} ({TMP_MB} MB, empty at each start){kept} can be written to. Have the server write there: "
        "most take the place from an environment variable or an argument."
    )
