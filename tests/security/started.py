"""What this process starts and runs, as the interpreter itself reports it (PEP 578): nothing is patched."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

from hosting.process_group import GUARD

STARTS = {"subprocess.Popen": 1, "os.posix_spawn": 1, "os.exec": 1, "os.system": 0, "pty.spawn": 0}
# Servers of the tests answer in threads of these names, and start programs of their own.
NOT_OURS = "process_request_thread"


@dataclass
class Started:
    """`commands`: each as it was given, without the guard in front. `code`: files of `data` that were run."""

    data: Path
    commands: list[list[str]] = field(default_factory=list)
    code: list[str] = field(default_factory=list)

    def programs(self) -> set[str]:
        return {os.path.basename(command[0]) for command in self.commands}

    def take(self, event: str, args: tuple[Any, ...]) -> None:
        if event in STARTS and NOT_OURS not in threading.current_thread().name:
            self.commands.append(_bare(args[STARTS[event]]))
        if event == "exec" and isinstance(args[0], CodeType) and self._is_of_data(args[0].co_filename):
            self.code.append(args[0].co_filename)

    def _is_of_data(self, file: str) -> bool:
        return os.path.realpath(file).startswith(f"{os.path.realpath(self.data)}/")


_watching: list[Started] = []


def _hear(event: str, args: tuple[Any, ...]) -> None:
    for each in _watching:
        each.take(event, args)


@contextmanager
def watching(data: Path) -> Iterator[Started]:
    """What is started, and what code below `data` is run, in any thread of this process meanwhile."""
    seen = Started(data)
    if not getattr(_hear, "installed", False):  # a hook cannot be taken away again
        sys.addaudithook(_hear)
        _hear.installed = True  # type: ignore[attr-defined]
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)


def _bare(given: Any) -> list[str]:
    words = [os.fsdecode(word) for word in ([given] if isinstance(given, str | bytes) else given)]
    return words[words.index(str(GUARD)) + 1 :] if str(GUARD) in words else words
