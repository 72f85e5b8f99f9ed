from __future__ import annotations

import pytest

from hosting import read_only
from hosting.runtimes.base import Volume


@pytest.mark.parametrize(
    "said",
    [
        "OSError: [Errno 30] Read-only file system: 'logs'",
        "Error: EROFS: read-only file system, mkdir '/app/logs'",
        "mkdir data: read-only file system",
        'Os { code: 30, kind: ReadOnlyFilesystem, message: "Read-only file system" }',
        "java.nio.file.FileSystemException: /app/x: Read-only file system",
        "sqlite3.OperationalError: attempt to write a readonly database",
        "sqlite3.OperationalError: unable to open database file",
    ],
)
def test_the_rule_is_told_where_it_is_why(said: str) -> None:
    assert "/tmp (64 MB" in read_only.hint(said)


@pytest.mark.parametrize("said", ["PermissionError: [Errno 13] Permission denied: 'x'", "exit code 30", ""])
def test_other_failures_have_their_own_reason(said: str) -> None:
    assert read_only.hint(said) == ""


def test_a_volume_can_be_written_to() -> None:
    assert "/data, which is kept, can be written to" in read_only.hint("EROFS", Volume(64, "/data"))
